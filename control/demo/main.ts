/**
 * `npm start`: the whole path of the deployment paper on one machine. A client publishes an overlay once and deploys it on
 * three XenoServers; each boots a guest from it, and the guests' pages are fetched over the network.
 *
 *     npm start                      stays up until Ctrl-C
 *     npm start -- --once --json     takes itself down, and prints the figures as the last line
 */
import { parseArgs } from "node:util";
import { XenoError } from "../../cowfs/errors.ts";
import { forwardPorts } from "../../xenod/links/forwarder.ts";
import { claimPrefix, sweepAbandoned, sweepLinks } from "../../xenod/links/sweep.ts";
import { meterStore, TrafficMeter } from "../../xenostore/stores/meter.ts";
import { findHome } from "../cli/home.ts";
import { exitCodes, reportError } from "../cli/output.ts";
import { deployEverywhere } from "../deploy/deploy-everywhere.ts";
import { joinClient } from "../network/local-network.ts";
import { type StartedServer, startServer } from "../network/start-server.ts";
import { createNarrator } from "./narrate.ts";
import { waitForPage } from "./pages.ts";
import { kernelUrl, prepareKernel, prepareOverlay, prepareTemplate } from "./prepare.ts";
import { formatReport, type Report, type ServerReport, summarize } from "./report.ts";

const serverNames = ["a", "b", "c"];
const pageText = "Published once, deployed everywhere";
const pageDeadlineMs = 300_000;
const memoryMiB = 512;

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
  const store = meterStore(await home.openStore(), meter, "client", "XenoStore");
  const preparation = { home, store, layers: await home.openLayers(store), signal, narrator };
  const template = await prepareTemplate(preparation);
  await prepareKernel(preparation);
  const overlay = await prepareOverlay(preparation, `${import.meta.dirname}/apache.sh`);

  await sweepAbandoned();
  const prefix = `xeno-${process.pid}`;
  await using cleanup = new AsyncDisposableStack();
  await claimPrefix(prefix);
  cleanup.defer(async () => {
    await sweepLinks(prefix);
    narrator.tell("switch", "everything is taken down");
  });
  const clientNamespace = await joinClient(prefix);
  const servers: StartedServer[] = [];
  // One after another: together they would only share the two cores.
  for (const [index, name] of serverNames.entries()) {
    const paths = { stateDirectory: home.at("start", name), storeDirectory: home.storeDirectory };
    const server = await startServer({ prefix, name, number: index + 1, ...paths, trustDirectory: home.keys, signal });
    cleanup.defer(() => stopServer(server));
    for (const { name: left } of await server.client.domains(signal)) await removeDomain(server, left);
    narrator.tell(name, "XenoServer is up");
    servers.push(server);
  }

  const startedAt = Date.now();
  narrator.tell("client", `deploying ${overlay.url} on ${serverNames.join(", ")}`);
  const reports = await Promise.all(
    servers.map((server) => deployAndFetch(server, overlay.url, clientNamespace, startedAt, cleanup)),
  );
  const report: Report = {
    startedAt,
    template,
    overlay,
    servers: reports,
    traffic: await collectTraffic(servers, meter),
  };
  process.stderr.write(`\n${formatReport(report)}\n`);
  const ok = reports.every(({ status }) => status === "ok");
  if (!values.once && ok) await stayUp(reports);
  await cleanup.disposeAsync();
  if (values.json) process.stdout.write(`${JSON.stringify(summarize(report))}\n`);
  return ok ? 0 : exitCodes.partial;
}

async function deployAndFetch(
  { name, client }: StartedServer,
  overlay: string,
  clientNamespace: string,
  startedAt: number,
  cleanup: AsyncDisposableStack,
): Promise<ServerReport> {
  try {
    const document = { name: "apache", overlay, kernel: kernelUrl, memoryMiB, cpus: 1 };
    const onStep = (server: string, step: string, at: number) =>
      narrator.tell(server, `${step} at ${((at - startedAt) / 1000).toFixed(1)} s`);
    const [{ domain, error }] = await deployEverywhere([{ name, client }], document, onStep, signal);
    if (domain === undefined) throw error;
    const target = { host: domain.address!, port: 80 };
    const forwarder = await forwardPorts(clientNamespace, [{ listen: { host: "127.0.0.1", port: 0 }, target }]);
    cleanup.defer(() => forwarder.close());
    const url = `http://127.0.0.1:${forwarder.ports[0]}/`;
    await waitForPage(url, pageText, pageDeadlineMs, signal);
    const answerMs = Date.now() - startedAt;
    narrator.tell(name, `answers at ${url} after ${(answerMs / 1000).toFixed(1)} s`);
    const record = await client.domain(domain.name, signal);
    const bootMs = record.steps.init! - record.steps.accepted!;
    return { name, status: "ok", bootMs, answerMs, url, domain: record };
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

/** What a run that was killed has left. */
async function removeDomain({ client }: StartedServer, name: string): Promise<void> {
  const { task } = await client.remove(name, 0, signal);
  await client.waitForTask(task, undefined, signal);
}

async function stayUp(reports: readonly ServerReport[]): Promise<void> {
  for (const { name, url } of reports) narrator.tell(name, `open ${url}`);
  narrator.tell("client", "Ctrl-C takes everything down");
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

async function stopServer({ name, client, process: child }: StartedServer): Promise<void> {
  const gone = new Promise<void>((resolve) =>
    child.exitCode === null ? child.once("exit", () => resolve()) : resolve(),
  );
  await client
    .shutdown({ remove: true })
    .catch((error) => narrator.tell(name, `did not stop in order: ${describe(error).message}`));
  child.kill("SIGTERM");
  await gone;
  narrator.tell(name, "XenoServer is down");
}

function describe(error: unknown): { code: string; message: string } {
  if (error instanceof XenoError) return { code: error.code, message: error.message };
  return { code: "internal", message: error instanceof Error ? error.message : String(error) };
}
