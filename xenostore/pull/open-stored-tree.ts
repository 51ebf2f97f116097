/**
 * A published tree as a file system can use it: index and pack map verified and kept, bytes fetched as they are read.
 *
 * What is in the cache needs no store: index, pack map and resident chunks serve on while the store is away.
 */
import path from "node:path";
import { limits } from "../../cowfs/trees/format.ts";
import { readChunkTable, SealedTree } from "../../cowfs/trees/open.ts";
import { type FillProgress, ResidentSpace } from "../../cowfs/trees/resident.ts";
import { validateIndex } from "../../cowfs/trees/validate.ts";
import { maxLayoutBytes, openLayout } from "../packs/layout.ts";
import type { ObjectStore } from "../stores/object-store.ts";
import { getCachedObject } from "./cached-object.ts";
import { createChunkFetcher } from "./fetch-chunks.ts";

export interface OpenedTree {
  readonly tree: SealedTree;
  /** Brings everything that is missing into the cache; faults go first. Rejects with the first error. */
  fill(progress: (progress: FillProgress) => void, signal: AbortSignal): Promise<void>;
  /** Bytes of the tree's chunks on the local disk. */
  residentBytes(): number;
  /** Ends all reading. */
  close(): Promise<void>;
}

/**
 * `cacheDirectory` holds a folder per tree; one process owns that folder (`in-use` otherwise). Throws `tree-damaged`,
 * `object-damaged`, `object-missing`, or what the store throws.
 */
export async function openStoredTree(
  store: ObjectStore,
  treeId: string,
  layoutId: string,
  cacheDirectory: string,
  signal?: AbortSignal,
): Promise<OpenedTree> {
  const folder = path.join(cacheDirectory, treeId);
  const [index, layout] = await Promise.all([
    getCachedObject(store, `trees/${treeId}`, treeId, path.join(folder, "index"), {
      maximumBytes: limits.indexBytes,
      signal,
    }),
    getCachedObject(store, `layouts/${layoutId}`, layoutId, path.join(folder, `layout-${layoutId}`), {
      maximumBytes: maxLayoutBytes,
      signal,
    }),
  ]);
  const valid = validateIndex(index, treeId);
  const chunks = readChunkTable(valid);
  const space = new ResidentSpace(
    folder,
    treeId,
    chunks,
    createChunkFetcher(store, chunks, openLayout(layout, layoutId)),
  );
  return {
    tree: new SealedTree(valid, chunks, space),
    fill: (progress, signal) => space.fill(progress, signal),
    residentBytes: () => space.residentBytes(),
    close: () => space.close(),
  };
}
