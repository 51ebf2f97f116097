import { Command } from "commander";
import { createInformationApi } from "../information/api.ts";
import { InformationNode } from "../information/node.ts";
import { addSearchRoute } from "../search/api.ts";
import { parseAddress } from "./accounts.ts";
import { type HostPort, parseListen } from "./arguments.ts";
import { readContext, untilAborted } from "./context.ts";
import { printResult, tell, tellTrouble } from "./output.ts";

const intervalMs = 10_000;

export function createInformationCommands(): Command {
  const information = new Command("information").description("the information service: which XenoServers there are");

  information
    .command("run")
    .description("run a node, which answers look-ups and searches")
    .requiredOption("--listen <host:port>", "where to listen", parseListen)
    .option("--peer <address...>", "other nodes, to learn from")
    .addHelpText(
      "after",
      `
Runs until Ctrl-C, and keeps nothing on disk: it asks its peers, and XenoServers advertise every few minutes.

Example:
  xeno information run --listen 127.0.0.1:9100 --peer http://127.0.0.1:9101`,
    )
    .action(async (flags: { listen: HostPort; peer?: string[] }, command: Command) => {
      const { json, signal } = readContext(command);
      const peers = (flags.peer ?? []).map(parseAddress);
      const node = new InformationNode({ peers, intervalMs, log: tell });
      const api = createInformationApi(node, (error) => tellTrouble("a request's defect", error));
      addSearchRoute(api, node);
      try {
        printResult(json, { listening: await api.listen(flags.listen) });
        node.start();
        await untilAborted(signal);
      } finally {
        await node.end();
        await api.close();
      }
    });

  return information;
}
