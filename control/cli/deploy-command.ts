import fs from "node:fs/promises";
import { Command } from "commander";
import { XenoError } from "../../cowfs/errors.ts";
import type { LaidFile, PublishedPort, RestartPolicy } from "../../xenod/daemon/deployment.ts";
import { deployEverywhere, type ServerOutcome } from "../deploy/deploy-everywhere.ts";
import { checkDocument, DeploymentDocument, readDocument } from "../deploy/document.ts";
import { collect, parseAssignment, parseNumber, parsePublishedPort, parseServers } from "./arguments.ts";
import { readContext } from "./context.ts";
import { describeError } from "./describe-error.ts";
import { exitCodes, printError, printJson, printResult, tell } from "./output.ts";
import { connectServer, findServers, type RegisteredServer } from "./registered-servers.ts";

interface DeployFlags {
  readonly on?: string[];
  readonly id?: string;
  readonly kernel?: string;
  readonly memory?: number;
  readonly cpus?: number;
  readonly name?: string;
  readonly hostname?: string;
  readonly init?: string;
  readonly append?: string;
  readonly file?: [path: string, source: string][];
  readonly env?: [name: string, value: string][];
  readonly port?: PublishedPort[];
  readonly restart?: RestartPolicy;
  readonly follow?: boolean;
  readonly signedSince?: string;
  readonly schema?: boolean;
}

export function createDeployCommand(): Command {
  return new Command("deploy")
    .description("boot a guest from an overlay on each of some XenoServers")
    .argument("[what]", "xenostore://OWNER/NAME[@VERSION], or a file that holds a deployment as JSON")
    .option("--on <servers>", "names of XenoServers, separated by commas (default: the document's)", parseServers)
    .option("--id <id>", "of this request: sent again with the same one, it is done once")
    .option("--kernel <url>", "the guests' kernel")
    .option("--memory <MiB>", "the guests' memory (default: 512)", parseNumber)
    .option("--cpus <n>", "the guests' virtual CPUs (default: 1)", parseNumber)
    .option("--name <name>", "the domains' name (default: from the overlay's)")
    .option("--hostname <name>", "the guests' host name (default: the domain's)")
    .option("--init <path>", "the first program (default: /sbin/init)")
    .option("--append <words>", "what is added to the kernel's command line")
    .option("--file <path=source>", "lay this file of yours over the guests' root", collect(parseAssignment))
    .option("--env <name=value>", "an environment variable for the guests' services", collect(parseAssignment))
    .option("--port <published:guest[/udp]>", "publish a port of the guests", collect(parsePublishedPort))
    .option("--restart <policy>", "never, host-boot, crash or always (default: never)")
    .option(
      "--follow",
      "at each reboot, take what the names of overlay and template mean then (default: pinned for ever)",
    )
    .option("--signed-since <time>", "refuse an overlay that was signed before, such as 2026-11-27T10:30:00Z")
    .option("--schema", "print the JSON Schema of deployments")
    .addHelpText(
      "after",
      `
Done when each guest's init runs. A XenoServer that is down or refuses does not hold up the others: exit code 3 when
only some guests came up, 1 when none did. Ctrl-C before that takes all of them back. What is said here is laid over what
a file says; --file, --env, --port and --on may come several times.

Examples:
  xeno deploy xenostore://demo/apache --on a,b,c --memory 512
  xeno deploy xenostore://demo/apache --on a --file /etc/motd=./motd --env STAGE=test
  xeno deploy apache.json`,
    )
    .action(async (what: string | undefined, flags: DeployFlags, command: Command) => {
      const { home, json, signal } = readContext(command);
      if (flags.schema) return printJson(DeploymentDocument);
      if (what === undefined) throw command.error("error: missing required argument 'what'");
      const document = await composeDocument(what, flags);
      const names = flags.on ?? Object.keys(document.servers ?? {});
      if (names.length === 0) throw command.error("error: no XenoServers are named: add --on");
      const registered = await findServers(home, names);
      const connect = async (server: RegisteredServer) => ({
        name: server.name,
        client: await connectServer(home, server),
      });
      const servers = await Promise.all(registered.map(connect));
      const onStep = (server: string, step: string) => tell(`${server}: ${step}`);
      const outcomes = await deployEverywhere(servers, document, onStep, signal);
      printOutcomes(json, outcomes);
      const failed = outcomes.filter(({ error }) => error !== undefined).length;
      if (failed > 0) process.exitCode = failed === outcomes.length ? exitCodes.error : exitCodes.partial;
    });
}

/** The flags over the file. */
async function composeDocument(what: string, flags: DeployFlags): Promise<DeploymentDocument> {
  const isUrl = what.includes("://");
  const document = isUrl ? { overlay: what } : await readDocument(what);
  const {
    id,
    kernel,
    memory: memoryMiB,
    cpus,
    name,
    hostname,
    init,
    append: kernelCommandLine,
    restart,
    follow,
    signedSince,
  } = flags;
  const said = {
    id,
    kernel,
    memoryMiB,
    cpus,
    name,
    hostname,
    init,
    kernelCommandLine,
    restart,
    follow,
    signedSince,
    ports: flags.port,
  };
  const files = await Promise.all((flags.file ?? []).map(readLaidFile));
  const composed = {
    ...document,
    ...Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined)),
    ...(flags.env ? { environment: { ...document.environment, ...Object.fromEntries(flags.env) } } : {}),
    ...(files.length > 0 ? { files: [...(document.files ?? []), ...files] } : {}),
  };
  return checkDocument(composed, isUrl ? "what the options say" : `${what} with the options`);
}

/** With the permissions that it has here; it is root's in the guest. */
async function readLaidFile([path, source]: [path: string, source: string]): Promise<LaidFile> {
  const [content, { mode }] = await Promise.all([fs.readFile(source), fs.stat(source)]);
  if (content.length > maxLaidBytes)
    throw new XenoError("file-unusable", `${source} is longer than ${maxLaidBytes} bytes`, {
      hint: "Put it into the overlay: a deployment carries small files only.",
    });
  return { path, base64: content.toString("base64"), mode: (mode & 0o7777).toString(8).padStart(4, "0") };
}

const maxLaidBytes = 262_144;

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
