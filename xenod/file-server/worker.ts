/**
 * Program: serves exports of a XenoServer: `worker.ts STATE NUMBER WORKERS`. Started by the keeper and started again whenever it ends;
 * everything that it has acknowledged is in journals and state files. What the first does besides: README.md.
 */
import { rm } from "node:fs/promises";
import { openLayers } from "../../templates/layers/open-layers.ts";
import { readTrust } from "../../xenostore/keys/key-ring.ts";
import { Pace } from "../../xenostore/pull/pace.ts";
import { meterStore, TrafficMeter } from "../../xenostore/stores/meter.ts";
import { openStore } from "../../xenostore/stores/open-store.ts";
import { createJsonServer } from "../http/json-server.ts";
import { readStateFile } from "../state-file.ts";
import { adoptExports } from "./adopt-exports.ts";
import { addControlRoutes } from "./control-routes.ts";
import { ExportTable } from "./export-table.ts";
import { fileServerFiles } from "./files.ts";
import { KeeperChannel } from "./keeper-channel.ts";
import { addLendingRoutes, FirstWorker } from "./lending.ts";
import { Precaching } from "./precaching.ts";
import type { FileServerConfiguration } from "./protocol.ts";
import { SpreadExports } from "./spread-exports.ts";

process.umask(0o077);
const stateDirectory = process.argv[2];
const [number, workers] = [Number(process.argv[3] ?? 0), Number(process.argv[4] ?? 1)];
const isFirst = number === 0;
const files = fileServerFiles(stateDirectory, number);
const log = (text: string) =>
  console.error(`${new Date().toISOString()} ${isFirst ? "" : `worker ${number}: `}${text}`);
const keeper = new KeeperChannel(() => void end());
const configuration = await readStateFile<FileServerConfiguration>(files.configuration, 1);
if (configuration === undefined) throw new Error(`there is no ${files.configuration}`);

const meter = new TrafficMeter();
const store = await openStore(configuration.store);
const { cacheBytes, fillBytesPerSecond, ioErrorAfterMs } = configuration.pull ?? {};
const pace = fillBytesPerSecond === undefined ? undefined : new Pace(fillBytesPerSecond).take;
const lender = isFirst ? undefined : new FirstWorker(stateDirectory);
const layers = openLayers({
  store: meterStore(store, meter, `XenoServer ${configuration.name}`, "XenoStore"),
  trust: readTrust(configuration.trustDirectory),
  cacheDirectory: files.cache,
  cacheBytes,
  lender,
  pace,
  live: configuration.live,
  log,
});
const adoptedLocks = isFirst ? await adoptExports(stateDirectory, workers) : [];
const table = new ExportTable({ files, layers, keeper, adoptedLocks, pace, ioErrorAfterMs, log });
for (const file of adoptedLocks) await rm(file, { force: true });
await table.load();
const { handle, workers: started } = await keeper.control();
const spread = isFirst ? new SpreadExports({ stateDirectory, table, keeper, workers }) : undefined;
await spread?.load(started);

const control = createJsonServer((error) => log(`defect: ${(error as Error).stack ?? error}`));
const startedAt = Date.now();
const precaching = new Precaching(layers);
const status = async () => {
  const { exports, traffic } = (await spread?.statusOfAll()) ?? { exports: table.list(), traffic: [] };
  return {
    name: configuration.name,
    keeper: process.ppid,
    worker: process.pid,
    started: startedAt,
    exports,
    traffic: [...meter.rows(), ...traffic],
    pulled: layers.counters,
  };
};
addControlRoutes(control, { exports: spread ?? table, precaching, status });
if (isFirst) addLendingRoutes(control, layers.lending);
await control.ready();
control.server.listen(handle as never);

let isEnding = false;
async function end(): Promise<void> {
  if (isEnding) return;
  isEnding = true;
  await control.close();
  await precaching.close();
  await spread?.close();
  await table.close();
  await layers.close();
  await lender?.close();
  process.exit(0);
}
