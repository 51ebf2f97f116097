/**
 * Lays a tree out anew in the order of its boot trace: what a boot reads lies together, in packs of its own and in the
 * order in which it is read, and so comes in few large range requests.
 *
 * - (Y1) Nothing but the pack map changes, and the ref that names it: the tree keeps its id.
 * - (Y2) The same trace gives the same packs, and what lies together already stays where it is.
 * - (Y3) Who reads by an earlier map goes on: the ref keeps the last few, with their packs (`keeps`).
 * - (Y4) The trace is unsigned: whatever it says, every chunk is verified before it is packed, and their bytes are bounded.
 */
import { XenoError } from "../../cowfs/errors.ts";
import type { ChunkTable } from "../../cowfs/trees/address-space.ts";
import { limits } from "../../cowfs/trees/format.ts";
import { readChunkTable } from "../../cowfs/trees/open.ts";
import { validateIndex } from "../../cowfs/trees/validate.ts";
import { Lease } from "../collect/lease.ts";
import type { SigningKey } from "../keys/key-ring.ts";
import { compressPack } from "../packs/compressor.ts";
import { groupFrames, maxRangeBytes } from "../packs/group-frames.ts";
import { type ChunkLocation, encodeLayout, type Layout, maxLayoutBytes, openLayout } from "../packs/layout.ts";
import { PackWriter, type RawPack } from "../packs/pack-writer.ts";
import { createChunkFetcher } from "../pull/fetch-chunks.ts";
import type { Ref, StoredTree } from "../refs/ref.ts";
import { getIfPresent } from "../stores/get-if-present.ts";
import type { ObjectStore } from "../stores/object-store.ts";
import { decodeTrace, maxTraceBytes, traceKey } from "../traces/boot-trace.ts";
import { putContentObject } from "./content-object.ts";
import { findWhole } from "./present.ts";
import { type CurrentRef, readCurrent, writeRef } from "./write-ref.ts";

export interface LaidOut {
  readonly ref: Ref;
  /** Range requests that bring all that a boot reads: where it lay, and where it lies now. */
  readonly requestsBefore: number;
  readonly requests: number;
  /** Bytes sent to the store. */
  readonly sentBytes: number;
}

/** A Debian guest's boot reads 30 MB. */
const maxTracedBytes = 256 * 2 ** 20;
const batchBytes = 4 * 2 ** 20;
const maxKeptMaps = 4;
const never = new AbortController().signal;

/**
 * `ref` must be what its name's `current` says. Undefined where nothing is to be done: the tree has no boot trace, what that
 * names lies together, or `current` has moved on. Throws `name-moved` where somebody moves it meanwhile.
 */
export async function layOutTrace(
  store: ObjectStore,
  ref: Ref,
  key: SigningKey,
  { signal = never }: { signal?: AbortSignal } = {},
): Promise<LaidOut | undefined> {
  const numbers = await readTrace(store, ref.tree, signal);
  if (numbers.length === 0) return undefined;
  const replaces = await readCurrent(store, ref, key, { signal });
  if (replaces.ref?.version !== ref.version || replaces.ref.layout !== ref.layout) return undefined;
  const lease = new Lease(store, { signal });
  try {
    return await layOut({ store, ref, key, replaces, lease, signal }, numbers);
  } finally {
    await lease.end().catch(() => {});
  }
}

interface Place {
  readonly store: ObjectStore;
  readonly ref: Ref;
  readonly key: SigningKey;
  readonly replaces: CurrentRef;
  readonly lease: Lease;
  readonly signal: AbortSignal;
}

async function layOut(place: Place, numbers: readonly number[]): Promise<LaidOut | undefined> {
  const { store, ref, key, replaces, lease, signal } = place;
  const { chunks, layout } = await readMaps(place);
  const traced = chooseTraced(numbers, chunks);
  const requestsBefore = countRequests(layout, chunks, traced);
  const tracedBytes = traced.reduce((sum, chunk) => sum + chunks.length(chunk), 0);
  if (requestsBefore <= 2 * Math.ceil(tracedBytes / maxRangeBytes)) return undefined;

  const packed = await packInOrder(place, { chunks, layout, traced });
  const map = encodeLayout(locate(chunks, layout, packed.writer));
  const keeps = await listKept(store, ref, signal);
  await lease.protect([`layouts/${map.id}`]);
  const mapBytes = await putContentObject(store, `layouts/${map.id}`, map.bytes, signal);
  const claims: Ref = { ...ref, layout: map.id, keeps, created: Date.now() };
  const written = await writeRef(store, claims, key, { replaces, signal });
  if (lease.isLapsed) await requireWhole(place, written);
  const requests = countRequests(openLayout(map.bytes, map.id), chunks, traced);
  return { ref: written, requestsBefore, requests, sentBytes: packed.sentBytes + mapBytes };
}

/** A trace that is damaged, or of a newer format, is none. */
async function readTrace(store: ObjectStore, tree: string, signal: AbortSignal): Promise<readonly number[]> {
  const bytes = await getIfPresent(store, traceKey(tree), { maximumBytes: maxTraceBytes, signal });
  try {
    return (bytes && decodeTrace(bytes).get(tree)) ?? [];
  } catch (error) {
    if (error instanceof XenoError) return [];
    throw error;
  }
}

async function readMaps({ store, ref, lease, signal }: Place): Promise<{ chunks: ChunkTable; layout: Layout }> {
  const keys = [`trees/${ref.tree}`, `layouts/${ref.layout}`];
  await lease.protect(keys);
  const [index, map] = await Promise.all([
    store.get(keys[0], { maximumBytes: limits.indexBytes, signal }),
    store.get(keys[1], { maximumBytes: maxLayoutBytes, signal }),
  ]);
  const layout = openLayout(map, ref.layout);
  await lease.protect(layout.packs().map((pack) => `packs/${pack}`));
  return { chunks: readChunkTable(validateIndex(index, ref.tree)), layout };
}

/** (Y4) */
function chooseTraced(numbers: readonly number[], chunks: ChunkTable): number[] {
  const traced: number[] = [];
  let bytes = 0;
  for (const chunk of new Set(numbers)) {
    if (chunk >= chunks.count) continue;
    bytes += chunks.length(chunk);
    if (bytes > maxTracedBytes) break;
    traced.push(chunk);
  }
  return traced;
}

function countRequests(layout: Layout, chunks: ChunkTable, traced: readonly number[]): number {
  const places = traced.map((chunk) => layout.find(chunks.hashBytes(chunk))).filter((place) => place !== -1);
  return groupFrames(layout, new Set(places.map((place) => layout.frameOf(place)))).length;
}

/** (Y3) What of it is not whole any more would keep sweeps from knowing what it needs. */
async function listKept(store: ObjectStore, ref: Ref, signal: AbortSignal): Promise<StoredTree[]> {
  const { tree, layout, keeps = [] } = ref;
  const maps = [{ tree, layout }, ...keeps.filter((kept) => kept.tree === tree)].slice(0, maxKeptMaps);
  return [...(await findWhole(store, maps, signal)), ...keeps.filter((kept) => kept.tree !== tree)];
}

/** One pack at a time is in memory, and sent before the next is begun. */
async function packInOrder(
  { store, lease, signal }: Place,
  { chunks, layout, traced }: { chunks: ChunkTable; layout: Layout; traced: readonly number[] },
): Promise<{ writer: PackWriter; sentBytes: number }> {
  const fetch = createChunkFetcher(store, chunks, layout);
  const writer = new PackWriter();
  let sentBytes = 0;
  const send = async (pack: RawPack | undefined) => {
    if (pack === undefined) return;
    const { hash, bytes } = await compressPack(pack);
    await lease.protect([`packs/${hash}`]);
    sentBytes += await putContentObject(store, `packs/${hash}`, bytes, signal);
  };
  for (const batch of cutIntoBatches(traced, chunks)) {
    const fetched = await fetch(batch, { signal, ahead: false });
    for (const chunk of batch) {
      const bytes = fetched.get(chunk);
      if (!Buffer.isBuffer(bytes)) throw bytes ?? new Error(`chunk ${chunk} was not fetched`);
      await send(writer.add(chunks.hash(chunk), bytes));
    }
  }
  await send(writer.finish());
  return { writer, sentBytes };
}

function* cutIntoBatches(traced: readonly number[], chunks: ChunkTable): Generator<number[]> {
  let batch: number[] = [];
  let bytes = 0;
  for (const chunk of traced) {
    batch.push(chunk);
    bytes += chunks.length(chunk);
    if (bytes < batchBytes) continue;
    yield batch;
    batch = [];
    bytes = 0;
  }
  if (batch.length > 0) yield batch;
}

function locate(chunks: ChunkTable, layout: Layout, writer: PackWriter): Map<string, ChunkLocation> {
  const locations = new Map<string, ChunkLocation>();
  for (let chunk = 0; chunk < chunks.count; chunk++) {
    const hash = chunks.hash(chunk);
    locations.set(hash, writer.location(hash) ?? layout.location(layout.find(chunks.hashBytes(chunk))));
  }
  return locations;
}

/** This process stood still for so long that a sweep may have come before our ref: then it means the map before again. */
async function requireWhole({ store, ref, key, signal }: Place, written: Ref): Promise<void> {
  if ((await findWhole(store, [written], signal)).length > 0) return;
  await writeRef(store, ref, key, { signal });
  throw new XenoError("publication-lapsed", `what was laid out of ${ref.owner}/${ref.name} was swept meanwhile`, {
    hint: "Run it again.",
  });
}
