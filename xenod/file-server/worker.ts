/**
 * Program: serves the exports of a XenoServer. Started by the keeper and started again whenever it ends; everything that it
 * has acknowledged is in journals and state files.
 */
import { openLayers } from "../../templates/layers/open-layers.ts";
import { readTrust } from "../../xenostore/keys/key-ring.ts";
import { Pace } from "../../xenostore/pull/pace.ts";
import { meterStore, TrafficMeter } from "../../xenostore/stores/meter.ts";
import { openStore } from "../../xenostore/stores/open-store.ts";
import { createJsonServer } from "../http/json-server.ts";
import { readStateFile } from "../state-file.ts";
import { addControlRoutes } from "./control-routes.ts";
import { ExportTable } from "./export-table.ts";
import { fileServerFiles } from "./files.ts";
import { KeeperChannel } from "./keeper-channel.ts";
import { Precaching } from "./precaching.ts";
import type { FileServerConfiguration } from "./protocol.ts";

process.umask(0o077);
const files = fileServerFiles(process.argv[2]);
const log = (text: string) => console.error(`${new Date().toISOString()} ${text}`);
const keeper = new KeeperChannel(() => void end());
const configuration = await readStateFile<FileServerConfiguration>(files.configuration, 1);
if (configuration === undefined) throw new Error(`there is no ${files.configuration}`);

const meter = new TrafficMeter();
const store = await openStore(configuration.store);
const layers = openLayers({
  store: meterStore(store, meter, `XenoServer ${configuration.name}`, "XenoStore"),
  trust: readTrust(configuration.trustDirectory),
  cacheDirectory: files.cache,
  cacheBytes: configuration.pull?.cacheBytes,
  live: configuration.live,
  log,
});
const { fillBytesPerSecond, ioErrorAfterMs } = configuration.pull ?? {};
const pace = fillBytesPerSecond === undefined ? undefined : new Pace(fillBytesPerSecond).take;
const table = new ExportTable({ files, layers, keeper, pace, ioErrorAfterMs, log });
await table.load();

const control = createJsonServer((error) => log(`defect: ${(error as Error).stack ?? error}`));
const started = Date.now();
const precaching = new Precaching(layers);
const status = () => ({
  name: configuration.name,
  keeper: process.ppid,
  worker: process.pid,
  started,
  exports: table.list(),
  traffic: meter.rows(),
  pulled: layers.counters,
});
addControlRoutes(control, { table, precaching, status });
await control.ready();
control.server.listen((await keeper.control()) as never);

let isEnding = false;
async function end(): Promise<void> {
  if (isEnding) return;
  isEnding = true;
  await control.close();
  await precaching.close();
  await table.close();
  await layers.close();
  process.exit(0);
}
