import { Command, Option } from "commander";
import { maxLocalServers } from "../network/local-network.ts";
import { parseBytes, parseNumber } from "./arguments.ts";
import { readContext, requireRoot } from "./context.ts";
import { addLiveOptions } from "./live-flags.ts";
import { printResult, tell } from "./output.ts";
import { connectServer, findServers, forgetServer, listServers } from "./registered-servers.ts";
import { type RunFlags, runServer } from "./run-server.ts";
import { stopServer } from "./stop-server.ts";

/** How long guests may take to power off before they are ended. */
const graceSeconds = 10;

export function createServerCommands(): Command {
  const server = new Command("server").description("XenoServers: the machines that run guests");

  addLiveOptions(server.command("run"))
    .description("run a XenoServer on this machine; its guests outlive it")
    .requiredOption("--name <name>", "how clients name it: a-z, 0-9 and -")
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

Example:
  xeno server run --name a`,
    )
    .action(async (flags: RunFlags, command: Command) => {
      const context = readContext(command);
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
          const status = await connectServer(registered, 0)
            .status(signal)
            .catch(() => undefined);
          signal.throwIfAborted();
          const isUp = status !== undefined;
          return {
            name: registered.name,
            status: isUp ? "up" : "down",
            process: status?.process,
            running: isUp ? (status.domains.running ?? 0) : undefined,
            hypervisor: status?.hypervisor,
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
    .addHelpText("after", "\nExample:\n  xeno server stop a")
    .action(async (name: string, { grace, remove = false }: { grace: number; remove?: boolean }, command: Command) => {
      const { home, json } = readContext(command);
      const [registered] = await findServers(home, [name]);
      requireRoot("xeno server stop", "ending what root started");
      await stopServer(home, registered, { graceMs: grace * 1000, remove });
      if (remove) await forgetServer(home, name);
      printResult(json, { [remove ? "removed" : "stopped"]: name });
    });

  return server;
}
