import { Command } from "commander";
import { loadKey } from "../../xenostore/keys/key-ring.ts";
import { parseListen } from "./arguments.ts";
import { readContext } from "./context.ts";
import { holdState } from "./hold-state.ts";
import { printJson, printResult, tell, tellTrouble } from "./output.ts";
import { connectServer, findServers } from "./registered-servers.ts";

export function createSessionServeCommand(): Command {
  return new Command("serve")
    .description("sell sessions on XenoServers of this $XENO_HOME: one, or a cluster as one")
    .argument("[configuration]", "a JSON file: prices, XenoCorps, environments")
    .option("--schema", "print what may stand in a configuration, as JSON Schema")
    .addHelpText(
      "after",
      `
Runs until Ctrl-C; guests go on, and what is due is charged when it runs again. Its state lies in $XENO_HOME/selling.

Example:
  xeno session serve ./sessions-a.json`,
    )
    .action(async (file: string | undefined, flags: { schema?: boolean }, command: Command) => {
      // The other commands of sessions need none of these.
      const [
        { readSessionsConfiguration, SessionsConfiguration },
        { EnvironmentManager },
        { createSessionsApi },
        { runManager },
      ] = await Promise.all([
        import("../sessions/configuration.ts"),
        import("../sessions/environment-manager.ts"),
        import("../sessions/api.ts"),
        import("../sessions/run-manager.ts"),
      ]);
      if (flags.schema) return printJson(SessionsConfiguration);
      if (file === undefined) throw command.error("error: a configuration is needed");
      const { json, home, signal } = readContext(command);
      const configuration = await readSessionsConfiguration(file);
      const { name, listen, address } = configuration;
      const stateDirectory = home.at("selling", name);
      using _state = holdState(stateDirectory, `the sessions of ${name}`);
      const servers = await findServers(home, configuration.servers);
      const machines = await Promise.all(
        servers.map(async (server) => ({ name: server.name, client: await connectServer(home, server) })),
      );
      const key = await loadKey(home.keys, configuration.key);
      const manager = await EnvironmentManager.open({ configuration, key, stateDirectory, machines, log: tell });
      const api = createSessionsApi(manager, (error) => tellTrouble("a request's defect", error));
      try {
        await api.listen(parseListen(listen));
        printResult(json, { name, address, listening: listen, server: key.id });
        await runManager(manager, signal);
      } finally {
        await api.close();
        await manager.idle();
        for (const { client } of machines) await client.close();
      }
    });
}
