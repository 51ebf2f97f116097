import { Argument, Command } from "commander";
import { type DeployedSize, sizeOf } from "../../xenod/daemon/deployment.ts";
import type { DomainRecord } from "../../xenod/daemon/domain-record.ts";
import { type DomainTarget, parseDomain, parseNumber } from "./arguments.ts";
import { readContext } from "./context.ts";
import { describeError } from "./describe-error.ts";
import { printResult, type Row, tell } from "./output.ts";
import { connectServer, findTarget, listServers } from "./registered-servers.ts";

interface ResizeFlags {
  readonly memory?: number;
  readonly cpu?: number;
  readonly net?: number;
  readonly disk?: number;
}

/** How long a guest may take to power off before it is ended. */
const graceSeconds = 30;

export const domainArgument = () => new Argument("<server/domain>", "as xeno ps lists it").argParser(parseDomain);

export function createDomainCommands(): Command[] {
  const ps = new Command("ps")
    .description("list the domains of all XenoServers")
    .addHelpText("after", "\nExample:\n  xeno ps")
    .action(async (_options, command: Command) => {
      const { home, json, signal } = readContext(command);
      const servers = await listServers(home);
      const rows: Row[] = [];
      for (const server of servers) {
        try {
          for (const domain of await (await connectServer(home, server, 0)).domains(signal))
            rows.push(describe(server.name, domain));
        } catch (error) {
          signal.throwIfAborted();
          const reason = describeError(error).message;
          rows.push({ domain: `${server.name}/?`, state: "unknown", address: undefined, overlay: undefined, reason });
        }
      }
      printResult(json, rows);
      if (!json && rows.length === 0)
        tell(servers.length === 0 ? "There are no XenoServers: xeno server run --help" : "There are no domains.");
    });

  const logs = new Command("logs")
    .description("print the end of a domain's console log")
    .addArgument(domainArgument())
    .option("--bytes <n>", "how much of it", parseNumber, 65_536)
    .addHelpText("after", "\nExample:\n  xeno logs a/apache")
    .action(async (target: DomainTarget, { bytes }: { bytes: number }, command: Command) => {
      const { json, home, signal } = readContext(command);
      const { client, label } = await findTarget(home, target);
      const log = await client.log(target.domain, bytes, signal);
      if (json) printResult(true, { domain: label, log });
      else process.stdout.write(log);
    });

  const stop = new Command("stop")
    .description("shut a domain down; its journal stays unless --remove is given")
    .addArgument(domainArgument())
    .option("--grace <seconds>", "how long the guest may take before it is ended", parseNumber, graceSeconds)
    .option("--remove", "forget the domain and delete its journal")
    .addHelpText("after", "\nExample:\n  xeno stop a/apache")
    .action(async (target: DomainTarget, flags: { grace: number; remove?: boolean }, command: Command) => {
      const { json, home, signal } = readContext(command);
      const { client, label } = await findTarget(home, target);
      const graceMs = flags.grace * 1000;
      const { task } = flags.remove
        ? await client.remove(target.domain, graceMs, signal)
        : await client.stop(target.domain, graceMs, signal);
      await client.waitForTask(task, undefined, signal);
      printResult(json, { [flags.remove ? "removed" : "stopped"]: label });
    });

  const start = new Command("start")
    .description("boot a domain that ended, from the journal that it left")
    .addArgument(domainArgument())
    .addHelpText("after", "\nDone when its init runs.\n\nExample:\n  xeno start a/apache")
    .action(async (target: DomainTarget, _options, command: Command) => {
      const { json, home, signal } = readContext(command);
      const { client, label } = await findTarget(home, target);
      const { task } = await client.start(target.domain, signal);
      await client.waitForTask(task, undefined, signal);
      const { address } = await client.domain(target.domain, signal);
      printResult(json, { started: label, address });
    });

  const resize = new Command("resize")
    .description("give a domain another size; what is not said stays as it is")
    .addArgument(domainArgument())
    .option(
      "--memory <MiB>",
      "from its next boot on; a guest that runs is asked at once to give back what is less",
      parseNumber,
    )
    .option("--cpu <ms>", "milliseconds of processor time in each second", parseNumber)
    .option("--net <kbit>", "kbit/s that it sends, and that it receives", parseNumber)
    .option("--disk <MiB>", "what its own writes may take on disk, from its next boot on", parseNumber)
    .addHelpText("after", "\nExample:\n  xeno resize a/apache --memory 1024 --cpu 500")
    .action(async (target: DomainTarget, flags: ResizeFlags, command: Command) => {
      const { json, home, signal } = readContext(command);
      const { client, label } = await findTarget(home, target);
      const { deployment, nextSize } = await client.domain(target.domain, signal);
      const asked = { ...(nextSize ?? sizeOf(deployment)), ...readSize(flags) };
      const resized = await client.resize(target.domain, asked, signal);
      const atNextBoot = resized.nextSize && describeSize(resized.nextSize);
      printResult(json, { resized: label, now: describeSize(resized.deployment), atNextBoot });
    });

  return [ps, logs, resize, start, stop];
}

function readSize({ memory, cpu, net, disk }: ResizeFlags): Partial<DeployedSize> {
  return {
    ...(memory === undefined ? {} : { memoryMiB: memory }),
    ...(cpu === undefined ? {} : { cpu: { meanMsPerSecond: cpu } }),
    ...(net === undefined ? {} : { network: { peakKbitPerSecond: net } }),
    ...(disk === undefined ? {} : { journalMiB: disk }),
  };
}

function describeSize({ memoryMiB, cpu, network, journalMiB }: DeployedSize): string {
  return [
    `${memoryMiB} MiB`,
    cpu && `${cpu.meanMsPerSecond} ms/s of CPU`,
    network && `${network.peakKbitPerSecond} kbit/s`,
    journalMiB && `${journalMiB} MiB on disk`,
  ]
    .filter(Boolean)
    .join(", ");
}

function describe(server: string, { name, state, address, reason, deployment }: DomainRecord): Row {
  return { domain: `${server}/${name}`, state, address, overlay: deployment.overlay, reason };
}
