import { Argument, Command } from "commander";
import { XenoError } from "../../cowfs/errors.ts";
import { forwardPorts } from "../../xenod/links/forwarder.ts";
import { joinClient } from "../network/local-network.ts";
import { type DomainTarget, parsePorts } from "./arguments.ts";
import { readContext, requireRoot, untilAborted } from "./context.ts";
import { domainArgument } from "./domain-commands.ts";
import { printResult } from "./output.ts";
import { findRunning } from "./registered-servers.ts";

export function createForwardCommand(): Command {
  return new Command("forward")
    .description("carry connections from a port of 127.0.0.1 to a port of a guest")
    .addArgument(domainArgument())
    .addArgument(new Argument("<ports>", "HOST-PORT:GUEST-PORT; host port 0 takes any").argParser(parsePorts))
    .addHelpText("after", "\nRuns until Ctrl-C.\n\nExample:\n  xeno forward a/apache 8080:80")
    .action(async (target: DomainTarget, ports: ReturnType<typeof parsePorts>, _options, command: Command) => {
      const { json, home, signal } = readContext(command);
      requireRoot("xeno forward", "entering the network namespace that reaches the guests");
      const { domain, prefix, label } = await findRunning(home, target, signal);
      if (prefix === undefined || domain.address === undefined)
        throw new XenoError("not-reachable", `the guest ${label} is not on this machine's network`, {
          hint: "Publish its port, when you deploy it: --port 8080:80",
        });
      const namespace = await joinClient(prefix);
      const listen = { host: "127.0.0.1", port: ports.host };
      const forwarder = await forwardPorts(namespace, [
        { listen, target: { host: domain.address, port: ports.guest } },
      ]);
      try {
        printResult(json, {
          listening: `127.0.0.1:${forwarder.ports[0]}`,
          target: `${domain.address}:${ports.guest}`,
        });
        await untilAborted(signal);
      } finally {
        await forwarder.close();
      }
    });
}
