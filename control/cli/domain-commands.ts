import net from "node:net";
import { Command, InvalidArgumentError } from "commander";
import { XenoError } from "../../cowfs/errors.ts";
import type { DomainRecord } from "../../xenod/daemon/domain-record.ts";
import { forwardPorts } from "../../xenod/links/forwarder.ts";
import { deployEverywhere } from "../deploy/deploy-everywhere.ts";
import { joinClient } from "../network/local-network.ts";
import { type Context, readContext } from "./context.ts";
import { exitCodes, printResult } from "./output.ts";
import { connectServer, findServers, listServers } from "./registered-servers.ts";

/** How long a guest may take to power off before it is ended. */
const graceMs = 30_000;
const defaultKernel = "template://Debian-kernel/6.1/current";

interface DeployFlags {
  readonly on: string[];
  readonly kernel: string;
  readonly memory: number;
  readonly cpus: number;
  readonly name?: string;
}

export function createDomainCommands(): Command[] {
  const deploy = new Command("deploy")
    .description("boot a guest from an overlay on each of some XenoServers")
    .argument("<url>", "xenostore://OWNER/NAME[@VERSION]")
    .requiredOption("--on <servers>", "names of XenoServers, separated by commas", (text: string) => text.split(","))
    .option("--kernel <url>", "the guests' kernel", defaultKernel)
    .option("--memory <MiB>", "the guests' memory", parseNumber, 512)
    .option("--cpus <n>", "the guests' virtual CPUs", parseNumber, 1)
    .option("--name <name>", "the domain's name (default: from the overlay's)")
    .addHelpText(
      "after",
      "\nSettles when each guest's init runs. Exit code 3 when only some came up.\n\nExample:\n  xeno deploy xenostore://demo/apache --on a,b,c",
    )
    .action(async (url: string, flags: DeployFlags, command: Command) => {
      const { home, json, signal } = readContext(command);
      const servers = (await findServers(home, flags.on)).map(({ name }) => ({
        name,
        client: connectServer(home, name),
      }));
      const document = {
        overlay: url,
        kernel: flags.kernel,
        memoryMiB: flags.memory,
        cpus: flags.cpus,
        name: flags.name,
      };
      const onStep = (server: string, step: string) => void process.stderr.write(`${server}: ${step}\n`);
      const outcomes = await deployEverywhere(servers, document, onStep, signal);
      printResult(
        json,
        outcomes.map(({ server, domain, error }) => ({
          server,
          domain: domain?.name,
          address: domain?.address,
          bootMs: domain === undefined ? undefined : domain.steps.init! - domain.steps.accepted!,
          error: error === undefined ? undefined : `${error.message} [${error.code}]`,
        })),
      );
      const failed = outcomes.filter(({ error }) => error !== undefined).length;
      if (failed > 0) process.exitCode = failed === outcomes.length ? exitCodes.error : exitCodes.partial;
    });

  const ps = new Command("ps")
    .description("list the domains of all XenoServers")
    .action(async (_options, command: Command) => {
      const context = readContext(command);
      const rows = [];
      for (const { name } of await listServers(context.home)) {
        const domains = await connectServer(context.home, name)
          .domains(context.signal)
          .catch(() => undefined);
        if (domains === undefined) rows.push({ domain: `${name}/?`, state: "the XenoServer is down" });
        else for (const domain of domains) rows.push(describeDomain(name, domain));
      }
      printResult(context.json, rows);
    });

  const logs = new Command("logs")
    .description("print the end of a domain's console log")
    .argument("<server/domain>")
    .addHelpText("after", "\nExample:\n  xeno logs a/apache")
    .action(async (target: string, _options, command: Command) => {
      const { client, name, context } = await findTarget(target, command);
      const text = await client.log(name, undefined, context.signal);
      if (context.json) printResult(true, { domain: target, log: text });
      else process.stdout.write(text);
    });

  const console_ = new Command("console")
    .description("talk to a domain's serial console; Ctrl-] leaves it")
    .argument("<server/domain>")
    .action(async (target: string, _options, command: Command) => {
      const { client, name, context } = await findTarget(target, command);
      const { console: socketPath } = await client.domain(name, context.signal);
      if (socketPath === undefined) throw notRunning(target);
      await attachConsole(socketPath);
    });

  const stop = new Command("stop")
    .description("shut a domain down; its journal stays unless --remove is given")
    .argument("<server/domain>")
    .option("--remove", "forget the domain and delete its journal")
    .addHelpText("after", "\nExample:\n  xeno stop a/apache")
    .action(async (target: string, flags: { remove?: boolean }, command: Command) => {
      const { client, name, context } = await findTarget(target, command);
      const { signal } = context;
      const { task } = flags.remove
        ? await client.remove(name, graceMs, signal)
        : await client.stop(name, graceMs, signal);
      await client.waitForTask(task, undefined, signal);
      printResult(context.json, { [flags.remove ? "removed" : "stopped"]: target });
    });

  const forward = new Command("forward")
    .description("carry connections from a port of 127.0.0.1 to a port of a guest")
    .argument("<server/domain>")
    .argument("<ports>", "HOST-PORT:GUEST-PORT; host port 0 takes any")
    .addHelpText("after", "\nRuns until Ctrl-C.\n\nExample:\n  xeno forward a/apache 8080:80")
    .action(async (target: string, ports: string, _options, command: Command) => {
      const { client, name, context, prefix } = await findTarget(target, command);
      const match = /^(\d{1,5}):(\d{1,5})$/.exec(ports);
      if (match === null) throw new XenoError("address-malformed", `'${ports}' is not HOST-PORT:GUEST-PORT`);
      const { address } = await client.domain(name, context.signal);
      if (address === undefined) throw notRunning(target);
      const forwarder = await forwardPorts(await joinClient(prefix), [
        { listen: { host: "127.0.0.1", port: Number(match[1]) }, target: { host: address, port: Number(match[2]) } },
      ]);
      printResult(context.json, { listening: `127.0.0.1:${forwarder.ports[0]}`, target: `${address}:${match[2]}` });
      await new Promise<void>((resolve) => context.signal.addEventListener("abort", () => resolve(), { once: true }));
      await forwarder.close();
    });

  return [deploy, ps, logs, console_, stop, forward];
}

async function findTarget(target: string, command: Command) {
  const context: Context = readContext(command);
  const [server, name, ...rest] = target.split("/");
  if (!server || !name || rest.length > 0)
    throw new XenoError("domain-name", `'${target}' is not SERVER/DOMAIN`, { hint: "xeno ps lists them" });
  const [{ prefix }] = await findServers(context.home, [server]);
  return { client: connectServer(context.home, server), name, context, prefix };
}

function notRunning(target: string): XenoError {
  return new XenoError("domain-stopped", `${target} does not run`, { hint: "xeno ps shows what does" });
}

function describeDomain(server: string, domain: DomainRecord) {
  const { name, state, address, reason, deployment } = domain;
  return { domain: `${server}/${name}`, state, address, overlay: deployment.overlay, reason };
}

function parseNumber(text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 1) throw new InvalidArgumentError("a whole number from 1 is needed");
  return number;
}

/** The terminal becomes the guest's until Ctrl-] (as in telnet and virsh). */
async function attachConsole(socketPath: string): Promise<void> {
  const leave = 0x1d;
  const socket = net.createConnection(socketPath);
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  process.stderr.write("connected; Ctrl-] leaves\r\n");
  process.stdin.setRawMode?.(true);
  try {
    await new Promise<void>((resolve) => {
      process.stdin.on("data", (bytes: Buffer) => {
        if (bytes.includes(leave)) resolve();
        else socket.write(bytes);
      });
      process.stdin.once("end", resolve);
      socket.on("data", (bytes) => process.stdout.write(bytes));
      socket.once("close", () => resolve());
    });
  } finally {
    process.stdin.setRawMode?.(false);
    socket.destroy();
  }
}
