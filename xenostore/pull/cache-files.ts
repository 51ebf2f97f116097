/**
 * What a cache holds on disk: `<cache>/trees/<tree>/` with `index`, `layout-<id>`, `trace`, `residency`, `lock` and the
 * tree's content in `NNNN.space` files of 16 MiB or more.
 *
 * - (C1) The process that owns a tree while it has it open holds `lock`; those that borrow it (borrow-tree.ts) share a lock of
 *   its directory, which takes no room. Nothing is taken from a tree but by who holds both for itself. So what a running domain uses is
 *   pinned, whichever process is killed.
 * - (C2) What is evicted is a whole file: least recently used first, and a tree's index only after all of its content. A
 *   file's time is when a life ended that used it.
 * - (C3) Any part may be missing at any time, and is fetched again: a kill at any moment leaves a cache that is smaller.
 */
import fs from "node:fs/promises";
import path from "node:path";
import { ownerFile } from "../../cowfs/trees/resident.ts";

export interface CachedFile {
  readonly tree: string;
  readonly file: string;
  /** On the disk: the files are sparse. */
  readonly bytes: number;
  /** Ms since the epoch. */
  readonly usedAt: number;
  /** True for content, false for what describes it. */
  readonly isContent: boolean;
}

const blockBytes = 512;

export function treesOf(cacheDirectory: string): string {
  return path.join(cacheDirectory, "trees");
}

/** Every file that may be evicted. What vanishes meanwhile is left out. */
export async function listCachedFiles(treesDirectory: string): Promise<CachedFile[]> {
  const files: CachedFile[] = [];
  for (const tree of await fs.readdir(treesDirectory).catch(() => [])) {
    if (!/^[0-9a-f]{64}$/.test(tree)) continue;
    for (const name of await fs.readdir(path.join(treesDirectory, tree)).catch(() => [])) {
      if (name === ownerFile) continue;
      const file = path.join(treesDirectory, tree, name);
      const stat = await fs.stat(file).catch(() => undefined);
      if (!stat?.isFile()) continue;
      const isContent = name.endsWith(".space");
      files.push({ tree, file, bytes: stat.blocks * blockBytes, usedAt: stat.mtimeMs, isContent });
    }
  }
  return files;
}
