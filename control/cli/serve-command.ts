import { Command } from "commander";
import { serveUnion } from "../../xenod/file-server/serve-union.ts";
import { type HostPort, parseListen } from "./arguments.ts";
import { readContext, untilAborted } from "./context.ts";
import { addLiveOptions, type LiveFlags, livePolicy } from "./live-flags.ts";
import { beginWithJournal, chooseJournal } from "./new-journal.ts";
import { printResult, tellTrouble } from "./output.ts";

interface ServeFlags extends LiveFlags {
  readonly listen: HostPort;
  readonly journal?: string;
  readonly privilegedPorts?: boolean;
  readonly unsafeAsync?: boolean;
}

export function createServeCommand(): Command {
  return addLiveOptions(new Command("serve"))
    .description("export a template or an overlay over NFSv3: MOUNT and NFS on one port, export path /")
    .argument("<url>", "template://… or xenostore://…")
    .requiredOption("--listen <host:port>", "where to listen; port 0 takes any", parseListen)
    .option("--journal <directory>", "keep the changes here (default: a new one in $XENO_HOME)")
    .option("--privileged-ports", "answer only clients whose own port is below 1024, which root alone can have")
    .option(
      "--unsafe-async",
      "answer changes of names and attributes before they are on the disk: a host that loses power may lose the last second of them",
    )
    .addHelpText(
      "after",
      `
Runs until Ctrl-C. Anyone who reaches the port may read and write as any user.

Example:
  xeno serve template://Debian/12/current --listen 127.0.0.1:20490`,
    )
    .action(async (url: string, flags: ServeFlags, command: Command) => {
      const { json, home, signal } = readContext(command);
      const journal = chooseJournal(home, flags.journal);
      const layers = await home.openLayers(undefined, livePolicy(flags));
      let isServing = false;
      const server = await beginWithJournal(journal, () =>
        serveUnion({
          url,
          journal,
          resolve: layers.resolve,
          listen: flags.listen,
          requirePrivilegedPort: flags.privilegedPorts === true,
          unsafeAsync: flags.unsafeAsync,
          signal,
          // Until then what goes wrong is thrown.
          onTrouble: (what, error) => isServing && tellTrouble(what, error),
        }),
      );
      isServing = true;
      try {
        const { host } = flags.listen;
        printResult(json, { listening: `${host.includes(":") ? `[${host}]` : host}:${server.port}`, url, journal });
        const failed = server.failed.then((error) => Promise.reject(error));
        await Promise.race([untilAborted(signal), failed]);
      } finally {
        await server.close();
        await layers.close();
      }
    });
}
