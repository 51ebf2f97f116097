import { Command, Option } from "commander";
import type { Task } from "../../xenod/daemon/task-list.ts";
import type { DomainTarget } from "./arguments.ts";
import { readContext } from "./context.ts";
import { domainArgument } from "./domain-commands.ts";
import { printResult, tell } from "./output.ts";
import { describePeer, findServers, findTarget } from "./registered-servers.ts";

/** Tells each step of a task once, on stderr. */
export function tellSteps(label: string): (task: Task) => void {
  let told = 0;
  return ({ progress }) => {
    for (const { step } of progress.slice(told)) tell(`${label}: ${step}`);
    told = progress.length;
  };
}

export function createMigrateCommand(): Command {
  const migrate = new Command("migrate")
    .description("move a running domain to another XenoServer; its guest goes on")
    .addArgument(domainArgument())
    .option("--to <server>", "the XenoServer that is to run it")
    .option("--drop-checkpoints", "give its checkpoints up: they do not go with it")
    .addHelpText(
      "after",
      `
Its checkpoints, its journal and its memory are copied while it runs; then it stands still for a moment. Whatever fails before it is handed over,
it goes on where it is. The other XenoServer answers on TCP (--listen), and its operator trusts the one that sends, by the key
that \`xeno server run\` prints, as for checkpoints: xeno key trust xenoserver+a ed25519:…

Example:
  xeno migrate a/apache --to b`,
    )
    .action(async (target: DomainTarget, flags: { to?: string; dropCheckpoints?: boolean }, command: Command) => {
      if (flags.to === undefined) throw command.error("error: no XenoServer is named: add --to");
      const { json, home, signal } = readContext(command);
      const [to] = await findServers(home, [flags.to]);
      const { client, label } = await findTarget(home, target);
      const { dropCheckpoints } = flags;
      const { task } = await client.migrate(
        target.domain,
        { to: await describePeer(home, to!, signal), dropCheckpoints },
        signal,
      );
      await client.waitForTask(task, tellSteps(label), signal);
      printResult(json, { migrated: label, to: flags.to });
    });

  migrate
    .command("resolve")
    .description("say what becomes of a domain in doubt: its other XenoServer will never answer")
    .addArgument(domainArgument())
    .addOption(new Option("--run", "it runs here: the other one has it no more, and never will").conflicts("drop"))
    .addOption(new Option("--drop", "what is here of it goes: the other one runs it"))
    .addHelpText(
      "after",
      `
A domain is in doubt when one XenoServer gave it away and cannot hear whether the other one took it; \`xeno ps\` shows it as
moved, or as receiving. It is stopped, and settles by itself as soon as both can talk. Only where that will never be, an operator
says what is so. It is believed: whoever says --run at both ends has the domain twice, and --drop at both has lost it.

Examples:
  xeno migrate resolve a/apache --run
  xeno migrate resolve a/apache --drop`,
    )
    .action(async (target: DomainTarget, flags: { run?: boolean; drop?: boolean }, command: Command) => {
      const { json, home, signal } = readContext(command);
      if (!flags.run && !flags.drop) throw command.error("error: one of --run and --drop is needed");
      const { client, label } = await findTarget(home, target);
      await client.resolveMigration(target.domain, flags.run ? "run" : "drop", signal);
      printResult(json, { [flags.run ? "runs" : "dropped"]: label });
    });

  return migrate;
}
