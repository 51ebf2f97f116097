import { createHash } from "node:crypto";
import fs from "node:fs/promises";
import path from "node:path";
import { Command } from "commander";
import { pino } from "pino";
import { XenoError } from "../../cowfs/errors.ts";
import { runXenoServer } from "../../xenod/daemon/run-xeno-server.ts";
import { joinServer, maxLocalServers } from "../network/local-network.ts";
import { type Context, readContext } from "./context.ts";
import { formatTable, printResult } from "./output.ts";
import { connectServer, listServers, type RegisteredServer } from "./registered-servers.ts";

interface RunFlags {
  readonly name: string;
  readonly number?: string;
  readonly state?: string;
  readonly trust?: string;
  readonly prefix?: string;
}

export function createServerCommands(): Command[] {
  const server = new Command("server").description("XenoServers: the machines that run guests");

  server
    .command("run")
    .description("run a XenoServer on this machine; its guests outlive it")
    .requiredOption("--name <name>", "how clients name it")
    .option(
      "--number <n>",
      `its place among the XenoServers of this machine, 1 to ${maxLocalServers} (default: a free one)`,
    )
    .option("--state <directory>", "its state (default: servers/NAME in $XENO_HOME)")
    .option("--trust <directory>", "the keys that it believes (default: keys in $XENO_HOME)")
    .option("--prefix <prefix>", "begins the names of its network namespaces (default: from $XENO_HOME)")
    .addHelpText(
      "after",
      "\nRuns until Ctrl-C; its guests go on, and it finds them when it runs again.\n\nExample:\n  xeno server run --name a &",
    )
    .action(async (flags: RunFlags, command: Command) => {
      const context = readContext(command);
      const { home, signal, json } = context;
      const stateDirectory = path.resolve(flags.state ?? home.at("servers", flags.name));
      const prefix = flags.prefix ?? localPrefix(home.directory);
      const number = flags.number === undefined ? await chooseNumber(context, flags.name) : Number(flags.number);
      const { namespace, addressPool } = await joinServer(prefix, { name: flags.name, number });
      await fs.mkdir(stateDirectory, { recursive: true, mode: 0o700 });
      await fs.mkdir(home.storeDirectory, { recursive: true, mode: 0o700 });
      await register(stateDirectory, { number, prefix });
      const log = pino({ level: process.env.XENO_LOG ?? "info" }, pino.destination({ dest: 2, sync: true }));
      await runXenoServer({
        name: flags.name,
        stateDirectory,
        storeDirectory: home.storeDirectory,
        trustDirectory: path.resolve(flags.trust ?? home.keys),
        namespace,
        addressPool,
        linkPrefix: prefix,
        signal,
        log,
        onReady: (socket) => printResult(json, { name: flags.name, socket, guests: addressPool }),
      });
    });

  server
    .command("ls")
    .description("list the XenoServers of $XENO_HOME")
    .action(async (_options, command: Command) => {
      const { home, json, signal } = readContext(command);
      const rows = [];
      for (const { name } of await listServers(home)) {
        const client = connectServer(home, name);
        const up = await client.status(signal).then(
          () => true,
          () => false,
        );
        rows.push({ name, status: up ? "up" : "down" });
      }
      if (json) printResult(true, rows);
      else process.stdout.write(formatTable(rows));
    });

  server
    .command("stop <name>")
    .description("end a XenoServer with its guests and its file server")
    .action(async (name: string, _options, command: Command) => {
      const { home, json } = readContext(command);
      await connectServer(home, name).shutdown();
      printResult(json, { stopped: name });
    });

  return [server];
}

/** Namespaces are the machine's: two homes must not share names. */
export function localPrefix(home: string): string {
  return `xeno-${createHash("sha256").update(home).digest("hex").slice(0, 6)}`;
}

async function chooseNumber({ home }: Context, name: string): Promise<number> {
  const servers = await listServers(home);
  const known = servers.find((server) => server.name === name);
  if (known !== undefined) return known.number;
  const taken = new Set(servers.map(({ number }) => number));
  for (let number = 1; number <= maxLocalServers; number++) if (!taken.has(number)) return number;
  throw new XenoError("too-many-servers", `${maxLocalServers} XenoServers at most share one machine`);
}

async function register(stateDirectory: string, entry: Omit<RegisteredServer, "name">): Promise<void> {
  const file = path.join(stateDirectory, "server.json");
  await fs.writeFile(`${file}.new`, `${JSON.stringify({ format: 1, ...entry })}\n`, { mode: 0o600 });
  await fs.rename(`${file}.new`, file);
}
