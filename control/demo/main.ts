/**
 * `npm start`: the whole path of the deployment paper on one machine. A client publishes an overlay once and deploys it on
 * three XenoServers; each boots a guest from it, and the guests' pages are fetched over the network.
 *
 *     npm start                      stays up until Ctrl-C
 *     npm start -- --once --json     takes itself down, and prints the figures as the last line
 */
import { parseArgs } from "node:util";
import { XenoError } from "../../cowfs/errors.ts";
import { meterStore, TrafficMeter } from "../../xenostore/stores/meter.ts";
import { findHome } from "../cli/home.ts";
import { exitCodes, reportError } from "../cli/output.ts";
import type { StartedServer } from "../network/start-server.ts";
import { startServers } from "../network/start-servers.ts";
import { deployAndFetch } from "./deploy-and-fetch.ts";
import { createNarrator } from "./narrate.ts";
import { prepareKernel, prepareOverlay, prepareTemplate } from "./prepare.ts";
import { formatReport, type Report, type ServerReport, summarize } from "./report.ts";

const serverNames = ["a", "b", "c"];

const { values } = parseArgs({ options: { once: { type: "boolean" }, json: { type: "boolean" } } });
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
    if (values.json) process.stdout.write(`${JSON.stringify({ ok: false, error: describe(error) })}\n`);
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
  const deployment = { overlay: overlay.url, clientNamespace: local.clientNamespace, cleanup };
  const reports = await Promise.all(
    local.servers.map((server) => reportDeployment({ ...deployment, server, startedAt })),
  );
  const report: Report = {
    startedAt,
    template,
    overlay,
    servers: reports,
    traffic: await collectTraffic(local.servers, meter),
  };
  process.stderr.write(`\n${formatReport(report)}\n`);
  const ok = reports.every(({ status }) => status === "ok");
  if (!values.once && ok) await stayUp(reports);
  await cleanup.disposeAsync();
  if (values.json) process.stdout.write(`${JSON.stringify(summarize(report))}\n`);
  return ok ? 0 : exitCodes.partial;
}

async function reportDeployment(deployment: {
  server: StartedServer;
  overlay: string;
  clientNamespace: string;
  startedAt: number;
  cleanup: AsyncDisposableStack;
}): Promise<ServerReport> {
  const { name } = deployment.server;
  const secondsAt = (at: number) => ((at - deployment.startedAt) / 1000).toFixed(1);
  const onStep = (step: string, at: number) => narrator.tell(name, `${step} at ${secondsAt(at)} s`);
  try {
    const { url, answeredAt, domain } = await deployAndFetch({ ...deployment, onStep, signal });
    narrator.tell(name, `answers at ${url} after ${secondsAt(answeredAt)} s`);
    const bootMs = domain.steps.init! - domain.steps.accepted!;
    return { name, status: "ok", bootMs, answerMs: answeredAt - deployment.startedAt, url, domain };
  } catch (error) {
    signal.throwIfAborted();
    narrator.tell(name, `failed: ${describe(error).message}`);
    return { name, status: "failed", error: describe(error).message };
  }
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

function describe(error: unknown): { code: string; message: string } {
  if (error instanceof XenoError) return { code: error.code, message: error.message };
  return { code: "internal", message: error instanceof Error ? error.message : String(error) };
}
