/** Makes room in a cache: (C1), (C2) and (C3) in cache-files.ts. */
import { closeSync } from "node:fs";
import fs from "node:fs/promises";
import path from "node:path";
import { XenoError } from "../../cowfs/errors.ts";
import { waitForDirectoryLock, waitForLock } from "../../cowfs/journals/lock.ts";
import { ownerFile } from "../../cowfs/trees/resident.ts";
import { type CachedFile, listCachedFiles } from "./cache-files.ts";

export interface Eviction {
  /** What the cache holds after it, and what was taken away. */
  readonly keptBytes: number;
  readonly freedBytes: number;
  /** Of what is kept: bytes of trees that somebody has open. */
  readonly pinnedBytes: number;
}

/** Deletes the least recently used files that nobody has open until at most `maxBytes` are left. */
export async function evict(
  treesDirectory: string,
  maxBytes: number,
  isOpenHere: (tree: string) => boolean = () => false,
): Promise<Eviction> {
  const files = await listCachedFiles(treesDirectory);
  let keptBytes = files.reduce((sum, { bytes }) => sum + bytes, 0);
  let freedBytes = 0;
  const locks = new Map<string, TreeLock | undefined>();
  try {
    for (const { tree, file, bytes } of files.sort(compareAge)) {
      if (keptBytes <= maxBytes) break;
      if (!locks.has(tree)) locks.set(tree, isOpenHere(tree) ? undefined : await tryLockTree(treesDirectory, tree));
      if (locks.get(tree) === undefined) continue;
      await fs.rm(file, { force: true });
      keptBytes -= bytes;
      freedBytes += bytes;
    }
  } finally {
    for (const lock of locks.values()) lock?.release();
  }
  const isPinned = ({ tree }: CachedFile) => locks.has(tree) && locks.get(tree) === undefined;
  const pinnedBytes = files.filter(isPinned).reduce((sum, { bytes }) => sum + bytes, 0);
  return { keptBytes, freedBytes, pinnedBytes };
}

/** Content before what describes it, the oldest first. */
function compareAge(a: CachedFile, b: CachedFile): number {
  if (a.isContent !== b.isContent) return a.isContent ? -1 : 1;
  return a.usedAt - b.usedAt;
}

/** Nobody has the tree open, and nobody opens it until `release`. */
export interface TreeLock {
  release(): void;
}

/** (C1) Undefined where somebody has the tree open, or there is no such tree. */
export async function tryLockTree(treesDirectory: string, tree: string): Promise<TreeLock | undefined> {
  const descriptors: number[] = [];
  const release = () => {
    for (const descriptor of descriptors.splice(0)) closeSync(descriptor);
  };
  try {
    const directory = path.join(treesDirectory, tree);
    const what = `the cache of tree ${tree}`;
    descriptors.push(await waitForLock(path.join(directory, ownerFile), what, 0));
    descriptors.push(await waitForDirectoryLock(directory, what, 0));
    return { release };
  } catch (error) {
    release();
    if (error instanceof XenoError && error.code === "in-use") return undefined;
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
