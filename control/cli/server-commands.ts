import { Command, Option } from "commander";
import { XenoError } from "../../cowfs/errors.ts";
import { maxLocalServers } from "../network/local-network.ts";
import { ServerConfiguration } from "../server/configuration.ts";
import { addServer } from "./add-server.ts";
import { parseBytes, parseListen, parseNumber } from "./arguments.ts";
import { createDrainCommand } from "./balance-commands.ts";
import { readContext, requireRoot } from "./context.ts";
import { describeError } from "./describe-error.ts";
import type { Home } from "./home.ts";
import { addLiveOptions } from "./live-flags.ts";
import { printJson, printResult, tell } from "./output.ts";
import {
  connectServer,
  findServers,
  forgetServer,
  isLocal,
  listServers,
  type RegisteredServer,
} from "./registered-servers.ts";
import { type RunOptions, readRunFlags } from "./run-flags.ts";
import { runServer } from "./run-server.ts";
import { stopServer } from "./stop-server.ts";

/** How long guests may take to power off before they are ended. */
const graceSeconds = 10;

export function createServerCommands(): Command {
  const server = new Command("server").description("XenoServers: the machines that run guests");

  addLiveOptions(server.command("run"))
    .description("run a XenoServer on this machine; its guests outlive it")
    .option("--config <file>", "its configuration, as JSON; the other options come before what it says")
    .option("--schema", "print the JSON Schema of configurations")
    .option("--name <name>", "how clients name it: a-z, 0-9 and -")
    .option("--state <directory>", "its state (default: servers/NAME in $XENO_HOME)")
    .option(
      "--cache-size <size>",
      "what its cache may take of the disk, such as 20G (default: what there is)",
      parseBytes,
    )
    .option(
      "--fill-rate <size>",
      "after a guest's boot, bring what it has not read at this rate a second, such as 5M (default: do not)",
      parseBytes,
    )
    .option(
      "--workers <n>",
      "how many processes serve the guests' roots, as they are needed (default: one for each core, up to 8)",
      parseNumber,
    )
    .addOption(
      new Option("--xen-guests <type>", "of what type guests are made on a Xen host (default: pvh)").choices([
        "pvh",
        "pv",
      ]),
    )
    .option("--listen <host:port>", "answer the API there too, to those whom the owner `operators` trusts", parseListen)
    .option(
      "--io-errors-after <seconds>",
      "how long a guest waits for data that the store does not give, before it is an I/O error (default: for ever)",
      parseNumber,
    )
    .option("--trust <directory>", "the keys that it believes (default: keys in $XENO_HOME)")
    .addOption(
      new Option("--number <n>", `its place on the network of --prefix, 1 to ${maxLocalServers}`)
        .argParser(parseNumber)
        .hideHelp(),
    )
    .addOption(new Option("--prefix <prefix>", "join the network of a program that takes it down again").hideHelp())
    .addHelpText(
      "after",
      `
Runs until Ctrl-C, and logs on stderr ($XENO_LOG: debug, info, warn, error). Guests that run then go on, and it finds them
when it runs again; without any, all of it ends. \`xeno server stop\` ends it with its guests.

Examples:
  xeno server run --name a
  xeno server run --config /etc/xeno/a.json`,
    )
    .action(async (given: RunOptions, command: Command) => {
      if (given.schema) return printJson(ServerConfiguration);
      const { context, flags } = await readRunFlags(given, command);
      requireRoot("xeno server run", "network namespaces, devices and mounts");
      await runServer(context, flags);
    });

  server
    .command("ls")
    .description("list the XenoServers of $XENO_HOME")
    .addHelpText("after", "\nExample:\n  xeno server ls")
    .action(async (_options, command: Command) => {
      const { home, json, signal } = readContext(command);
      const rows = await Promise.all(
        (await listServers(home)).map(async (registered) => {
          const { status, reason } = await askStatus(home, registered, signal);
          signal.throwIfAborted();
          const isUp = status !== undefined;
          return {
            name: registered.name,
            status: isUp ? "up" : "down",
            url: isLocal(registered) ? undefined : registered.url,
            process: status?.process,
            running: isUp ? (status.domains.running ?? 0) : undefined,
            hypervisor: status?.hypervisor,
            reason,
          };
        }),
      );
      printResult(json, rows);
      if (!json && rows.length === 0) tell("There are no XenoServers: xeno server run --help");
    });

  server
    .command("stop <name>")
    .description("end a XenoServer with its guests and its file server; their journals stay unless --remove is given")
    .option("--grace <seconds>", "how long the guests may take before they are ended", parseNumber, graceSeconds)
    .option("--remove", "delete its domains with their journals, and forget it")
    .option("--halt", "as before a reboot: domains start again by their restart policy when it runs again")
    .addHelpText("after", "\nExample:\n  xeno server stop a")
    .action(
      async (
        name: string,
        { grace, remove = false, halt = false }: { grace: number; remove?: boolean; halt?: boolean },
        command: Command,
      ) => {
        const { home, json } = readContext(command);
        const [registered] = await findServers(home, [name]);
        if (isLocal(registered)) requireRoot("xeno server stop", "ending what root started");
        await stopServer(home, registered, { graceMs: grace * 1000, remove, halt });
        if (remove) await forgetServer(home, name);
        printResult(json, { [remove ? "removed" : "stopped"]: name });
      },
    );

  server
    .command("add <name> <url> <publicKey>")
    .description("get to know a XenoServer elsewhere, by its URL and its key")
    .requiredOption("--key <name>", "the key of yours that its operator trusts")
    .addHelpText(
      "after",
      `
Both sides know each other by their keys. Its operator says which key it has (\`xeno server run\` prints it), and trusts yours
(\`xeno key ls\`) with \`xeno key trust operators ed25519:…\`.

Example:
  xeno server add far https://xeno.example:7600 ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo --key demo`,
    )
    .action(async (name: string, url: string, serverKey: string, { key }: { key: string }, command: Command) => {
      const { home, json, signal } = readContext(command);
      const remote = await addServer(home, { name, url, serverKey, key }, signal);
      printResult(json, { added: remote.name, url: remote.url, publicKey: remote.serverKey });
    });

  server
    .command("forget <name>")
    .description("forget a XenoServer that was added")
    .addHelpText("after", "\nExample:\n  xeno server forget far")
    .action(async (name: string, _options, command: Command) => {
      const { home, json } = readContext(command);
      const [registered] = await findServers(home, [name]);
      if (isLocal(registered))
        throw new XenoError("server-local", `XenoServer ${name} runs on this machine`, {
          hint: `xeno server stop ${name} --remove ends it and forgets it.`,
        });
      await forgetServer(home, name);
      printResult(json, { forgotten: name });
    });

  server.addCommand(createDrainCommand());
  return server;
}

async function askStatus(home: Home, server: RegisteredServer, signal: AbortSignal) {
  try {
    return { status: await (await connectServer(home, server, 0)).status(signal) };
  } catch (error) {
    // A XenoServer of this machine that is down is just down.
    const { code, message } = describeError(error);
    return { reason: code === "server-unreachable" && isLocal(server) ? undefined : message };
  }
}
