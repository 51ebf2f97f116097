/**
 * Reads every chunk that a cache says it has and compares it with its hash. What is not as it should be is taken back, so
 * that it is fetched again; of a tree that a process has open that process does so by itself before it serves a byte
 * (R1), and here it is only told.
 */
import fs from "node:fs/promises";
import path from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { blake3 } from "@napi-rs/blake-hash";
import { XenoError } from "../../cowfs/errors.ts";
import type { ChunkTable } from "../../cowfs/trees/address-space.ts";
import { readChunkTable } from "../../cowfs/trees/open.ts";
import { Residency, readResidency } from "../../cowfs/trees/residency.ts";
import { SpaceFiles } from "../../cowfs/trees/space-files.ts";
import { validateIndex } from "../../cowfs/trees/validate.ts";
import { tryLockTree } from "./evict.ts";

export interface VerifiedTree {
  readonly tree: string;
  readonly chunks: number;
  readonly bytes: number;
  readonly damagedChunks: number;
  /** Its index is not what its name says: nothing of the tree could be looked at, and it is fetched again. */
  readonly isIndexDamaged: boolean;
  readonly isOpen: boolean;
}

/** Undefined where nothing of the tree is here. */
export async function verifyCachedTree(
  treesDirectory: string,
  tree: string,
  signal: AbortSignal,
): Promise<VerifiedTree | undefined> {
  const directory = path.join(treesDirectory, tree);
  const lock = await tryLockTree(treesDirectory, tree);
  try {
    const index = await fs.readFile(path.join(directory, "index")).catch(() => undefined);
    if (index === undefined) return undefined;
    const found = { tree, isOpen: lock === undefined };
    const chunks = readTable(index, tree);
    if (chunks === undefined) {
      if (lock !== undefined) await fs.rm(path.join(directory, "index"), { force: true });
      return { ...found, chunks: 0, bytes: 0, damagedChunks: 0, isIndexDamaged: true };
    }
    const { bad, good, bytes } = await checkChunks(directory, tree, chunks, signal);
    if (lock !== undefined && bad.length > 0) {
      const residency = new Residency(path.join(directory, "residency"), tree, chunks.count);
      for (const chunk of bad) residency.forget(chunk);
      residency.close();
    }
    return { ...found, chunks: good, bytes, damagedChunks: bad.length, isIndexDamaged: false };
  } finally {
    lock?.release();
  }
}

function readTable(index: Buffer, tree: string): ChunkTable | undefined {
  try {
    return readChunkTable(validateIndex(index, tree));
  } catch (error) {
    if (error instanceof XenoError) return undefined;
    throw error;
  }
}

async function checkChunks(directory: string, tree: string, chunks: ChunkTable, signal: AbortSignal) {
  const isResident = await readResidency(path.join(directory, "residency"), tree, chunks.count);
  const files = new SpaceFiles(directory, chunks.bytes, "look");
  const bad: number[] = [];
  let good = 0;
  let bytes = 0;
  try {
    for (let chunk = 0; chunk < chunks.count; chunk++) {
      if (chunk % 64 === 0) await nextTurn();
      signal.throwIfAborted();
      if (!isResident(chunk)) continue;
      const content = Buffer.allocUnsafe(chunks.length(chunk));
      const isThere = readQuietly(files, chunks.address(chunk), content);
      if (isThere && chunks.hasHash(chunk, blake3(content))) {
        good++;
        bytes += content.length;
      } else bad.push(chunk);
    }
  } finally {
    files.close();
  }
  return { bad, good, bytes };
}

/** A disk that cannot be read holds nothing. */
function readQuietly(files: SpaceFiles, address: number, content: Buffer): boolean {
  try {
    return files.read(address, content.length, content, 0);
  } catch (error) {
    if (error instanceof XenoError) return false;
    throw error;
  }
}
