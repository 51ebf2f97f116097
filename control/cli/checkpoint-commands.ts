import { Argument, Command } from "commander";
import { XenoError } from "../../cowfs/errors.ts";
import type { CheckpointManifest } from "../../xenod/checkpoints/manifest.ts";
import { type DomainTarget, parseNumber } from "./arguments.ts";
import { readContext } from "./context.ts";
import { domainArgument } from "./domain-commands.ts";
import { printResult, type Row, tell } from "./output.ts";
import { findTarget } from "./registered-servers.ts";

interface ResumeFlags {
  readonly checkpoint?: number;
  readonly as?: string;
  readonly from?: string;
}

export function createCheckpointCommands(): Command[] {
  const suspend = new Command("suspend")
    .description("save a domain's memory and files in a checkpoint, and end its guest")
    .addArgument(domainArgument())
    .option("--keep-running", "let the guest go on after its checkpoint")
    .addHelpText(
      "after",
      "\n`xeno resume` brings it back; until it is suspended, it calls this off.\n\nExample:\n  xeno suspend a/apache",
    )
    .action(async (target: DomainTarget, { keepRunning = false }: { keepRunning?: boolean }, command: Command) => {
      const { json, home, signal } = readContext(command);
      const { client, label } = await findTarget(home, target);
      const { task } = await client.suspend(target.domain, { goesOn: keepRunning }, signal);
      const { checkpoint } = (await client.waitForTask(task, undefined, signal)) as { checkpoint: number };
      printResult(json, { [keepRunning ? "saved" : "suspended"]: label, checkpoint });
    });

  const resume = new Command("resume")
    .description("bring a domain back out of its last checkpoint, or an older one")
    .addArgument(domainArgument())
    .option("--checkpoint <number>", "as xeno checkpoint ls lists it", parseNumber)
    .option("--as <name>", "as another domain of this name; the first stays as it is")
    .option("--from <url>", "one that another XenoServer published; it becomes this domain")
    .addHelpText(
      "after",
      "\nExamples:\n  xeno resume a/apache\n  xeno resume a/apache --checkpoint 1 --as apache-before\n  xeno resume b/apache --from xenostore://xenoserver+a/apache",
    )
    .action(async (target: DomainTarget, { from, ...flags }: ResumeFlags, command: Command) => {
      const { json, home, signal } = readContext(command);
      const { client } = await findTarget(home, target);
      const { task, domain } =
        from === undefined
          ? await client.resume(target.domain, flags, signal)
          : await client.resumePublished({ url: from, name: target.domain }, signal);
      const { address } = (await client.waitForTask(task, undefined, signal)) as { address?: string };
      printResult(json, { resumed: `${target.server}/${domain}`, address });
    });

  return [suspend, resume, createCheckpointCommand()];
}

function createCheckpointCommand(): Command {
  const numberArgument = () => new Argument("<number>", "as xeno checkpoint ls lists it").argParser(parseNumber);

  const list = new Command("ls")
    .description("list a domain's checkpoints, oldest first")
    .addArgument(domainArgument())
    .addHelpText("after", "\nExample:\n  xeno checkpoint ls a/apache")
    .action(async (target: DomainTarget, _options, command: Command) => {
      const { json, home, signal } = readContext(command);
      const { client, label } = await findTarget(home, target);
      const rows = (await client.checkpoints(target.domain, signal)).map(describe);
      printResult(json, rows);
      if (!json && rows.length === 0) tell(`${label} has no checkpoints: xeno suspend takes one.`);
    });

  const show = new Command("show")
    .description("show all that is known of a checkpoint")
    .addArgument(domainArgument())
    .addArgument(numberArgument())
    .addHelpText("after", "\nExample:\n  xeno checkpoint show a/apache 1")
    .action(async (target: DomainTarget, number: number, _options, command: Command) => {
      const { json, home, signal } = readContext(command);
      const { client, label } = await findTarget(home, target);
      const found = (await client.checkpoints(target.domain, signal)).find((each) => each.number === number);
      if (found === undefined)
        throw new XenoError("checkpoint-unknown", `${label} has no checkpoint ${number}`, {
          hint: "xeno checkpoint ls shows those that it has",
        });
      const { deployment, platform, overlayTree, kernelTree, guestAddress } = found;
      const { memoryMiB, cpus, overlay, kernel } = deployment;
      const trees = { overlayTree, kernelTree };
      printResult(json, { ...describe(found), platform, memoryMiB, cpus, overlay, kernel, ...trees, guestAddress });
    });

  const remove = new Command("rm")
    .description("forget a checkpoint")
    .addArgument(domainArgument())
    .addArgument(numberArgument())
    .addHelpText("after", "\nExample:\n  xeno checkpoint rm a/apache 1")
    .action(async (target: DomainTarget, number: number, _options, command: Command) => {
      const { json, home, signal } = readContext(command);
      const { client, label } = await findTarget(home, target);
      await client.removeCheckpoint(target.domain, number, signal);
      printResult(json, { removed: label, checkpoint: number });
    });

  const publish = new Command("publish")
    .description("send a checkpoint to XenoStore, signed by its XenoServer, for others to resume")
    .addArgument(domainArgument())
    .addArgument(numberArgument())
    .addHelpText(
      "after",
      "\nWhoever is to resume it trusts the XenoServer for that: xeno key trust xenoserver+a ed25519:…\n\nExample:\n  xeno checkpoint publish a/apache 1",
    )
    .action(async (target: DomainTarget, number: number, _options, command: Command) => {
      const { json, home, signal } = readContext(command);
      const { client } = await findTarget(home, target);
      const { task } = await client.publishCheckpoint(target.domain, number, signal);
      const published = (await client.waitForTask(task, undefined, signal)) as Record<string, string | number>;
      const { url, newBytes, sentBytes, publicKey } = published;
      printResult(json, { published: url, newBytes, sentBytes, publicKey });
    });

  const checkpoint = new Command("checkpoint").description("list, show, publish and remove a domain's checkpoints");
  for (const each of [list, show, publish, remove]) checkpoint.addCommand(each);
  return checkpoint;
}

function describe({ number, created, memory }: CheckpointManifest): Row {
  return { number, created: new Date(created).toISOString(), memoryBytes: memory.bytes };
}
