/**
 * How fast a template is read: for the first time, out of the store; again in the same life, once it was pulled so; in a
 * later life, where all of it is here; and the same bytes out of a plain file.
 */
import fs from "node:fs";
import path from "node:path";
import { runWithFaults } from "../../cowfs/fault.ts";
import { FileType } from "../../cowfs/file-system.ts";
import type { SealedTree } from "../../cowfs/trees/open.ts";
import { openStoredTree } from "../../xenostore/pull/open-stored-tree.ts";
import type { StoredTree } from "../../xenostore/refs/ref.ts";
import type { ObjectStore } from "../../xenostore/stores/object-store.ts";
import { describeSamples } from "../statistics.ts";

export interface ReadingFigures {
  readonly bytes: number;
  /** From opening a tree of which nothing is here to its first byte, and to its last. */
  readonly firstByteMs: number;
  readonly pulledMs: number;
  /** MB/s, medians: of what was pulled lazily in this life, of what an earlier one left, and of a plain file. */
  readonly lazy: number;
  readonly resident: number;
  readonly file: number;
}

export interface Reading {
  readonly store: ObjectStore;
  readonly ref: StoredTree;
  readonly directory: string;
  readonly runs: number;
  readonly tell: (who: string, what: string) => void;
  readonly signal: AbortSignal;
}

const readBytes = 64 * 1024;

export async function measureReading({ store, ref, directory, runs, tell, signal }: Reading): Promise<ReadingFigures> {
  const trees = path.join(directory, "reading");
  const target = Buffer.alloc(readBytes);
  const started = performance.now();
  const pulled = await openStoredTree(store, ref, trees);
  const plan = planReads(pulled.tree);
  await runWithFaults(() => pulled.tree.read(...plan[0], target, 0), signal);
  const firstByteMs = performance.now() - started;
  for (const read of plan) await runWithFaults(() => pulled.tree.read(...read, target, 0), signal);
  const pulledMs = performance.now() - started;
  tell("reading", `pulled in ${(pulledMs / 1000).toFixed(1)} s`);
  const plain = path.join(directory, "plain");
  const bytes = writePlain(pulled.tree, plan, plain);
  // A later life of a cache that holds the same: a copy, so that both can be read in turn.
  await pulled.bringAhead({ signal });
  const copy = path.join(directory, "reading-later");
  await fs.promises.cp(trees, copy, { recursive: true });
  const later = await openStoredTree(store, ref, copy);
  // A warm-up for the compiler's sake, and because what an earlier life left is verified when it is first read.
  for (const { tree } of [pulled, later]) readAll(tree, plan, target);
  const samples = { lazy: [] as number[], resident: [] as number[], file: [] as number[] };
  const rate = (ms: number) => bytes / 1000 / ms;
  // In turn, so that what else this machine does falls on all alike.
  for (let run = 0; run < runs; run++) {
    samples.lazy.push(rate(readAll(pulled.tree, plan, target)));
    samples.resident.push(rate(readAll(later.tree, plan, target)));
    samples.file.push(rate(readPlain(plain, plan, target)));
  }
  await Promise.all([pulled.close(), later.close()]);
  const median = (values: number[]) => describeSamples(values)!.median;
  const { lazy, resident, file } = samples;
  return { bytes, firstByteMs, pulledMs, lazy: median(lazy), resident: median(resident), file: median(file) };
}

type Read = readonly [inode: number, offset: number, length: number];

/** Every regular file from its beginning, as a copy of the tree would read it. */
function planReads(tree: SealedTree): Read[] {
  const plan: Read[] = [];
  for (let inode = 0; inode < tree.inodeCount; inode++) {
    if ((tree.mode(inode) & FileType.mask) !== FileType.regular) continue;
    const size = tree.size(inode);
    for (let offset = 0; offset < size; offset += readBytes)
      plan.push([inode, offset, Math.min(readBytes, size - offset)]);
  }
  return plan;
}

/** Ms. */
function readAll(tree: SealedTree, plan: readonly Read[], target: Buffer): number {
  const started = performance.now();
  for (const read of plan) tree.read(...read, target, 0);
  return performance.now() - started;
}

function writePlain(tree: SealedTree, plan: readonly Read[], name: string): number {
  const file = fs.openSync(name, "w");
  const bytes = Buffer.alloc(readBytes);
  let total = 0;
  for (const read of plan) {
    tree.read(...read, bytes, 0);
    total += fs.writeSync(file, bytes, 0, read[2]);
  }
  fs.closeSync(file);
  return total;
}

/** In the same pieces. */
function readPlain(name: string, plan: readonly Read[], target: Buffer): number {
  const file = fs.openSync(name, "r");
  const started = performance.now();
  let at = 0;
  for (const [, , length] of plan) at += fs.readSync(file, target, 0, length, at);
  const ms = performance.now() - started;
  fs.closeSync(file);
  return ms;
}
