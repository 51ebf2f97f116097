/**
 * A published tree as a file system can use it: index and pack map verified and kept, bytes fetched as they are read.
 *
 * What is in the cache needs no store: index, pack map and resident chunks serve on while the store is away.
 */
import { closeSync } from "node:fs";
import path from "node:path";
import type { BringChunks } from "../../cowfs/trees/borrowed-space.ts";
import { limits } from "../../cowfs/trees/format.ts";
import type { MemoryChunks } from "../../cowfs/trees/memory-chunks.ts";
import { readChunkTable, SealedTree } from "../../cowfs/trees/open.ts";
import { RecordedSpace, type Recording } from "../../cowfs/trees/recorded-space.ts";
import { type AheadOptions, lockDirectory, ResidentSpace } from "../../cowfs/trees/resident.ts";
import { validateIndex } from "../../cowfs/trees/validate.ts";
import { maxLayoutBytes, openLayout } from "../packs/layout.ts";
import type { StoredTree } from "../refs/ref.ts";
import type { ObjectStore } from "../stores/object-store.ts";
import { getCachedObject } from "./cached-object.ts";
import { createChunkFetcher, type FetchLane } from "./fetch-chunks.ts";
import { copyFromNeighbours } from "./neighbours.ts";
import type { RetryPolicy } from "./retry.ts";

export interface OpenedTree {
  readonly tree: SealedTree;
  /** Brings what is missing into the cache; faults go first. */
  bringAhead(options: AheadOptions): Promise<void>;
  /** Brings chunks for a process that borrows the tree. */
  readonly bring: BringChunks;
  /** The same tree for somebody whose reads are noted until he stops it. */
  record(): { readonly tree: SealedTree; readonly recording: Recording };
  /** Whether a chunk can be read without a fetch, as far as is known. */
  has(chunk: number): boolean;
  /** Bytes of the tree's chunks on the local disk. */
  residentBytes(): number;
  /** Ends all reading. */
  close(): Promise<void>;
}

export interface StoredTreeOptions {
  /** Shared by the trees of a process. */
  readonly lane?: FetchLane;
  readonly memory?: MemoryChunks;
  takeRoom?(bytes: number): Promise<boolean>;
  /** Told of chunks that were copied from other trees of the cache. */
  onCopied?(bytes: number): void;
  readonly retries?: RetryPolicy;
  /** How long another process may have the tree open, in ms; default 0. */
  readonly lockPatienceMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * `treesDirectory` holds a folder per tree; one process owns that folder (`in-use` otherwise). Throws `tree-damaged`,
 * `object-damaged`, `object-missing`, or what the store throws.
 */
export async function openStoredTree(
  store: ObjectStore,
  stored: StoredTree,
  treesDirectory: string,
  options: StoredTreeOptions = {},
): Promise<OpenedTree> {
  const directory = path.join(treesDirectory, stored.tree);
  // Before anything is looked for: who holds the lock keeps others from evicting it.
  const lock = await lockDirectory(directory, options.lockPatienceMs);
  try {
    return await openLocked(store, stored, { treesDirectory, directory, lock }, options);
  } catch (error) {
    closeSync(lock);
    throw error;
  }
}

async function openLocked(
  store: ObjectStore,
  { tree: treeId, layout: layoutId }: StoredTree,
  place: { readonly treesDirectory: string; readonly directory: string; readonly lock: number },
  { signal, ...options }: StoredTreeOptions,
): Promise<OpenedTree> {
  const get = (key: string, hash: string, name: string, maximumBytes: number) => {
    const { retries } = options;
    return getCachedObject(store, key, hash, path.join(place.directory, name), { maximumBytes, retries, signal });
  };
  const [index, layoutBytes] = await Promise.all([
    get(`trees/${treeId}`, treeId, "index", limits.indexBytes),
    get(`layouts/${layoutId}`, layoutId, `layout-${layoutId}`, maxLayoutBytes),
  ]);
  const valid = validateIndex(index, treeId);
  const chunks = readChunkTable(valid);
  const layout = openLayout(layoutBytes, layoutId);
  const fetchFar = createChunkFetcher(store, chunks, layout, options.lane, options.retries);
  const onCopied = (bytes: number) => options.onCopied?.(bytes);
  const fetch = copyFromNeighbours(fetchFar, place.treesDirectory, treeId, chunks, layout, onCopied);
  const space = new ResidentSpace({ ...place, treeId, chunks, fetch, ...options });
  const tree = new SealedTree(valid, chunks, space);
  return {
    tree,
    bringAhead: (options) => space.bringAhead(options),
    bring: (chunks, signal) => space.bring(chunks, signal),
    record() {
      const recording = new RecordedSpace(space, chunks);
      return { tree: tree.over(recording), recording };
    },
    has: (chunk) => space.has(chunk),
    residentBytes: () => space.residentBytes(),
    close: () => space.close(),
  };
}
