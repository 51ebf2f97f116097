/**
 * A published tree that another process of this XenoServer pulls (lend-trees.ts): its index is read here, and what is in the cache needs
 * neither that process nor the store.
 */
import { closeSync } from "node:fs";
import path from "node:path";
import type { XenoError } from "../../cowfs/errors.ts";
import { BorrowedSpace } from "../../cowfs/trees/borrowed-space.ts";
import { limits } from "../../cowfs/trees/format.ts";
import type { MemoryChunks } from "../../cowfs/trees/memory-chunks.ts";
import { readChunkTable, SealedTree } from "../../cowfs/trees/open.ts";
import { RecordedSpace } from "../../cowfs/trees/recorded-space.ts";
import { shareDirectory } from "../../cowfs/trees/resident.ts";
import { validateIndex } from "../../cowfs/trees/validate.ts";
import type { StoredTree } from "../refs/ref.ts";
import type { ObjectStore } from "../stores/object-store.ts";
import { getCachedObject } from "./cached-object.ts";
import type { OpenedTree } from "./open-stored-tree.ts";
import type { RetryPolicy } from "./retry.ts";

/** What the process that owns the trees of a cache does for the others. Each may be asked twice. */
export interface Lender {
  /** As BringChunks. */
  bring(
    stored: StoredTree,
    chunks: readonly number[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<number, Buffer | XenoError>>;
  /** As `OpenedTree.bringAhead`. */
  bringAhead(stored: StoredTree, options: LentAhead): Promise<void>;
}

export interface LentAhead {
  /** All by default. */
  readonly chunks?: readonly number[];
  /** At the rate that all such work of the XenoServer has. */
  readonly isPaced: boolean;
  readonly signal: AbortSignal;
}

export interface BorrowOptions {
  readonly memory?: MemoryChunks;
  readonly retries?: RetryPolicy;
  /** How long somebody may be taking things from the tree, in ms; default 0. */
  readonly lockPatienceMs?: number;
}

/** Throws `tree-damaged`, `object-damaged`, `object-missing`, `in-use`, or what the store throws. */
export async function borrowTree(
  store: ObjectStore,
  stored: StoredTree,
  treesDirectory: string,
  lender: Lender,
  { memory, retries, lockPatienceMs }: BorrowOptions = {},
): Promise<OpenedTree> {
  const { tree: treeId } = stored;
  const directory = path.join(treesDirectory, treeId);
  // Before anything is looked for, as in open-stored-tree.ts.
  const lock = await shareDirectory(directory, lockPatienceMs);
  try {
    const kept = path.join(directory, "index");
    const limit = { maximumBytes: limits.indexBytes, retries };
    const valid = validateIndex(await getCachedObject(store, `trees/${treeId}`, treeId, kept, limit), treeId);
    const chunks = readChunkTable(valid);
    const bring = (wanted: readonly number[], signal: AbortSignal) => lender.bring(stored, wanted, signal);
    const space = new BorrowedSpace({ directory, lock, treeId, chunks, bring, memory });
    const tree = new SealedTree(valid, chunks, space);
    return {
      tree,
      bring,
      bringAhead: ({ chunks, pace, signal }) =>
        lender.bringAhead(stored, { chunks: chunks && [...chunks], isPaced: pace !== undefined, signal }),
      record() {
        const recording = new RecordedSpace(space, chunks);
        return { tree: tree.over(recording), recording };
      },
      has: (chunk) => space.has(chunk),
      residentBytes: () => space.residentBytes(),
      close: async () => space.close(),
    };
  } catch (error) {
    closeSync(lock);
    throw error;
  }
}
