/**
 * `npm start`: the whole path of the deployment paper on one machine. A client publishes an overlay once and deploys it on
 * three XenoServers; each boots a guest from it, and the guests' pages are fetched over the network.
 *
 *     npm start                      stays up until Ctrl-C
 *     npm start -- --once --json     takes itself down, and prints the figures as the last line
 *     npm start -- --unpaid          the same, said aloud: with the operator's key, and without any XenoCorp
 *     npm start -- --paid            two clients of two XenoCorps find the XenoServers, lease them and pay (story.ts)
 */
import { parseArgs } from "node:util";
import { meterStore, TrafficMeter } from "../../xenostore/stores/meter.ts";
import { describeError } from "../cli/describe-error.ts";
import { findHome } from "../cli/home.ts";
import { exitCodes, reportError } from "../cli/output.ts";
import type { StartedServer } from "../network/start-server.ts";
import { startServers } from "../network/start-servers.ts";
import { createNarrator } from "./narrate.ts";
import { deployPaid } from "./paid.ts";
import { prepareKernel, prepareOverlay, prepareTemplate } from "./prepare.ts";
import { formatReport, type Report, type ServerReport, summarize } from "./report.ts";
import type { StoryReport } from "./story.ts";
import { deployUnpaid } from "./unpaid.ts";

const serverNames = ["a", "b", "c"];

const values = readFlags();
const interrupted = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => interrupted.abort(name));
const { signal } = interrupted;
const narrator = createNarrator();

try {
  process.exitCode = await run();
} catch (error) {
  if (signal.aborted) process.exitCode = exitCodes.interrupted;
  else {
    reportError(false, error);
    if (values.json) process.stdout.write(`${JSON.stringify({ ok: false, error: describeError(error) })}\n`);
    process.exitCode = exitCodes.error;
  }
}
process.exit();

async function run(): Promise<number> {
  const home = findHome();
  const meter = new TrafficMeter();
  const store = meterStore(await home.openStore({ create: true }), meter, "client", "XenoStore");
  const preparation = { home, store, layers: await home.openLayers(store), signal, narrator };
  const template = await prepareTemplate(preparation);
  await prepareKernel(preparation);
  const overlay = await prepareOverlay(preparation, `${import.meta.dirname}/apache.sh`);

  await using cleanup = new AsyncDisposableStack();
  const { tell } = narrator;
  const local = await startServers({
    home,
    names: serverNames,
    stateDirectory: home.at("start"),
    cleanup,
    signal,
    tell,
  });

  const startedAt = Date.now();
  narrator.tell("client", `deploying ${overlay.url} on ${serverNames.join(", ")}`);
  let report: Report | undefined;
  /** Shows how it went; unless it was to be once, all that was deployed stays until Ctrl-C. */
  const onDeployed = async (servers: ServerReport[]) => {
    report = { startedAt, template, overlay, servers, traffic: await collectTraffic(local.servers, meter) };
    process.stderr.write(`\n${formatReport(report)}\n`);
    if (!values.once && servers.every(({ status }) => status === "ok")) await stayUp(servers);
  };
  const deploying = { home, local, overlay: overlay.url, startedAt, narrator, signal, cleanup, onDeployed };
  const told: StoryReport | undefined = values.paid ? await deployPaid(deploying) : await deployUnpaid(deploying);
  await cleanup.disposeAsync();
  const summary = { ...summarize(report!), ...told };
  if (values.json) process.stdout.write(`${JSON.stringify(summary)}\n`);
  return summarize(report!).ok ? 0 : exitCodes.partial;
}

async function collectTraffic(servers: readonly StartedServer[], meter: TrafficMeter): Promise<Report["traffic"]> {
  const rows = [...meter.rows()];
  for (const { client } of servers) {
    rows.push(client.sent, ...(await client.traffic(signal)));
  }
  return rows;
}

async function stayUp(reports: readonly ServerReport[]): Promise<void> {
  for (const { name, url } of reports) narrator.tell(name, `open ${url}`);
  narrator.tell("client", "Ctrl-C takes everything down");
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

function readFlags() {
  const flag = { type: "boolean" } as const;
  try {
    const { values } = parseArgs({ options: { once: flag, json: flag, paid: flag, unpaid: flag } });
    if (values.paid && values.unpaid) throw new Error("it is either --paid or --unpaid");
    return values;
  } catch (error) {
    process.stderr.write(`npm start: ${(error as Error).message}\n`);
    process.stderr.write("Usage: npm start -- [--once] [--json] [--paid | --unpaid]\n");
    process.exit(exitCodes.usage);
  }
}
