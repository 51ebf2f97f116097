/**
 * Lookups in the information service's inverted file as it grows. Advertisements are taken without their signatures here: to sign
 * a million of them would take minutes and measure something else.
 */
import { randomBytes } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { InvertedFile } from "../../control/information/inverted-file.ts";
import { findServers } from "../../control/search/find-servers.ts";
import { type Distribution, describeSamples } from "../statistics.ts";

export interface LookupsMeasured {
  readonly servers: number;
  /** Microseconds, for a page of 100 of a range with about a tenth of all. */
  readonly lookup: Distribution;
  /** Milliseconds, for the best ten of those with a kernel that a hundredth has, enough of three resources, near two places. */
  readonly find: Distribution;
  /** Microseconds, to take an update of a XenoServer that is known. */
  readonly update: Distribution;
  readonly bytesEach: number;
}

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const samples = 1000;
const finds = 50;
/** Taken in some ten ms. Between two of them a signal is seen. */
const batch = 1000;

/** Rejects with what the signal says. `onProgress` is told how many there are. */
export async function measureLookups(
  servers: number,
  { signal, onProgress }: { readonly signal: AbortSignal; onProgress(taken: number): void },
): Promise<LookupsMeasured> {
  collectGarbage();
  const before = process.memoryUsage().heapUsed;
  const file = new InvertedFile();
  const ids: string[] = [];
  while (ids.length < servers) {
    if (ids.length % batch === 0) {
      onProgress(ids.length);
      await setImmediate();
      signal.throwIfAborted();
    }
    const id = randomBytes(32).toString("base64url");
    ids.push(id);
    file.take(makeAdvertisement(id, 1));
  }
  collectGarbage();
  const bytesEach = (process.memoryUsage().heapUsed - before) / servers;
  const pick = () => ids[Math.floor(Math.random() * ids.length)]!;
  const lookup = await measure(samples, signal, () => {
    const from = Math.floor(Math.random() * 900);
    file.lookup({ token: "CPUmsps", range: { from, to: from + 100 }, limit: 100 });
  });
  const find = await measure(finds, signal, () => {
    const kernel = `6.${Math.floor(Math.random() * 100)}`;
    const resources = { CPUmsps: 100, MemoryMiB: 512, NetMbps: 5 };
    const near = { places: [{ server: pick() }, { server: pick() }] };
    findServers(file, { count: 10, environment: { kernel }, resources, hours: 1, near }, 2);
  });
  let at = 2;
  const update = await measure(samples, signal, () => file.take(makeAdvertisement(pick(), at++)));
  const scale = ({ count, ...rest }: Distribution, by: number) =>
    ({
      count,
      ...Object.fromEntries(Object.entries(rest).map(([name, ms]) => [name, ms * by])),
    }) as unknown as Distribution;
  return { servers, lookup: scale(lookup, 1000), find, update: scale(update, 1000), bytesEach };
}

async function measure(times: number, signal: AbortSignal, act: () => void): Promise<Distribution> {
  const taken: number[] = [];
  for (let time = 0; time < times; time++) {
    await setImmediate();
    signal.throwIfAborted();
    const started = performance.now();
    act();
    taken.push(performance.now() - started);
  }
  return describeSamples(taken)!;
}

function makeAdvertisement(server: string, at: number) {
  const random = (most: number) => Math.floor(Math.random() * most);
  const tokens = {
    CPUmsps: random(1000),
    MemoryMiB: random(65_536),
    NetMbps: random(1000),
    Load: Math.random(),
    EnvType: ["Linux", "Program"],
    EnvKernel: `6.${random(100)}`,
    PriceCPUmsps: 1 + random(20),
    PriceMemoryMiB: 1 + random(5),
    PriceNetMbps: 1 + random(5),
    CoordX: Math.random() * 200,
    CoordY: Math.random() * 200,
    CoordHeight: Math.random() * 10,
    CoordError: 0.1,
  };
  return { server, address: "https://a.server.example", at, expires: Number.MAX_SAFE_INTEGER, tokens, text: "" };
}
