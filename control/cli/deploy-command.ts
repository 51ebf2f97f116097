import { Command } from "commander";
import type { Deployment } from "../../xenod/daemon/deployment.ts";
import { defaultKernel } from "../deploy/default-kernel.ts";
import { deployEverywhere, type ServerOutcome } from "../deploy/deploy-everywhere.ts";
import { parseNumber, parseServers } from "./arguments.ts";
import { readContext } from "./context.ts";
import { describeError } from "./describe-error.ts";
import { exitCodes, printError, printJson, printResult, tell } from "./output.ts";
import { connectServer, findServers } from "./registered-servers.ts";

interface DeployFlags {
  readonly on: string[];
  readonly kernel: string;
  readonly memory: number;
  readonly cpus: number;
  readonly name?: string;
  readonly hostname?: string;
  readonly init?: string;
  readonly append?: string;
}

export function createDeployCommand(): Command {
  return new Command("deploy")
    .description("boot a guest from an overlay on each of some XenoServers")
    .argument("<url>", "xenostore://OWNER/NAME[@VERSION]")
    .requiredOption("--on <servers>", "names of XenoServers, separated by commas", parseServers)
    .option("--kernel <url>", "the guests' kernel", defaultKernel)
    .option("--memory <MiB>", "the guests' memory", parseNumber, 512)
    .option("--cpus <n>", "the guests' virtual CPUs", parseNumber, 1)
    .option("--name <name>", "the domains' name (default: from the overlay's)")
    .option("--hostname <name>", "the guests' host name (default: the domain's)")
    .option("--init <path>", "the first program (default: /sbin/init)")
    .option("--append <words>", "what is added to the kernel's command line")
    .addHelpText(
      "after",
      `
Done when each guest's init runs. A XenoServer that is down or refuses does not hold up the others: exit code 3 when
only some guests came up, 1 when none did. Ctrl-C before that takes all of them back.

Example:
  xeno deploy xenostore://demo/apache --on a,b,c --memory 512`,
    )
    .action(async (url: string, flags: DeployFlags, command: Command) => {
      const { home, json, signal } = readContext(command);
      const registered = await findServers(home, flags.on);
      const servers = registered.map((server) => ({ name: server.name, client: connectServer(server) }));
      const onStep = (server: string, step: string) => tell(`${server}: ${step}`);
      const outcomes = await deployEverywhere(servers, readDocument(url, flags), onStep, signal);
      printOutcomes(json, outcomes);
      const failed = outcomes.filter(({ error }) => error !== undefined).length;
      if (failed > 0) process.exitCode = failed === outcomes.length ? exitCodes.error : exitCodes.partial;
    });
}

function readDocument(url: string, flags: DeployFlags): Omit<Deployment, "id"> {
  const { kernel, memory: memoryMiB, cpus, name, hostname, init, append: kernelCommandLine } = flags;
  return { overlay: url, kernel, memoryMiB, cpus, name, hostname, init, kernelCommandLine };
}

/** People get what came up on stdout and what did not on stderr; programs get all of it. */
function printOutcomes(json: boolean, outcomes: readonly ServerOutcome[]): void {
  const rows = outcomes.map(({ server, domain, error }) => ({
    server,
    domain: domain?.name,
    address: domain?.address,
    bootMs: domain === undefined ? undefined : domain.steps.init! - domain.steps.accepted!,
    error: error && describeError(error),
  }));
  if (json) return printJson(rows);
  printResult(
    false,
    rows.filter(({ error }) => error === undefined).map(({ error: _, ...row }) => row),
  );
  for (const { server, error } of rows) {
    if (error !== undefined) printError(false, { ...error, message: `${server}: ${error.message}` });
  }
}
