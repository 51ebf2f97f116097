/**
 * The content of a file that a journal has changed, as pieces.
 *
 * Most of a large file lies in the layer below, whose chunks are known. Where a chunk begins, the next cut depends on nothing before
 * (cut-chunks.ts): so a chunk of the layer is named and not read, and behind a change bytes are read only until a cut falls where
 * one of the layer's chunks begins.
 *
 * (S1) The pieces are those that cutting the whole content would give: the same content has the same id, however it was made.
 */
import { runWithFaults } from "../../cowfs/fault.ts";
import { findExtent, lowerAddress } from "../../cowfs/journals/extents.ts";
import type { JournalInode } from "../../cowfs/journals/state.ts";
import type { Piece } from "../../cowfs/trees/tree.ts";
import type { UnionCore } from "../../cowfs/union/core.ts";
import { readExtents } from "../../cowfs/union/reading.ts";
import { wholeBytes } from "../chunking/cut-chunks.ts";
import type { KnowingSink } from "./content-sink.ts";

const readBytes = 1024 * 1024;

/** Bytes `start` to `end` of a file, between holes. */
interface Run {
  readonly start: number;
  readonly end: number;
}

/** `below`: the pieces of the layer's file, where there is one. */
export async function sealContent(
  core: UnionCore,
  inode: JournalInode,
  below: readonly Piece[] | undefined,
  sink: KnowingSink,
  signal: AbortSignal,
): Promise<Piece[]> {
  const pieces: Piece[] = [];
  const runs = findRuns(inode.extents);
  const kept = findKept(inode, runs, below ?? [], sink);
  for (const run of runs) {
    const isWhole = run.end - run.start <= wholeBytes;
    for (let at = run.start; at < run.end; at = end(pieces.at(-1)!)) {
      const known = kept.get(at);
      if (known !== undefined) {
        pieces.push(known);
        continue;
      }
      const start = at;
      const content = readRun(core, inode, { start, end: run.end }, signal);
      const added = isWhole
        ? await sink.addContent(content)
        : await sink.addPart(content, (offset) => kept.has(start + offset));
      for (const piece of added) pieces.push({ ...piece, offset: start + piece.offset });
    }
  }
  return pieces;
}

function findRuns(extents: readonly { readonly offset: number; readonly length: number }[]): Run[] {
  const runs: { start: number; end: number }[] = [];
  for (const { offset, length } of extents) {
    const last = runs.at(-1);
    if (last !== undefined && last.end === offset) last.end += length;
    else runs.push({ start: offset, end: offset + length });
  }
  return runs;
}

/**
 * Chunks of the layer that cutting the runs would give again once a cut falls where they begin, by that offset. Not those of runs
 * that are one chunk whatever is in them, and the last of one only where a run ends with it: its end was no cut.
 */
function findKept(
  inode: JournalInode,
  runs: readonly Run[],
  below: readonly Piece[],
  sink: KnowingSink,
): Map<number, Piece> {
  const kept = new Map<number, Piece>();
  const chunks = below.filter(({ hash }) => hash !== undefined);
  const lower = findRuns(chunks);
  let [at, lowerAt] = [0, 0];
  for (const chunk of chunks) {
    while (lower[lowerAt].end <= chunk.offset) lowerAt++;
    while (at < runs.length && runs[at].end <= chunk.offset) at++;
    if (at === runs.length) break;
    const [run, before] = [runs[at], lower[lowerAt]];
    const isCut = end(chunk) < before.end || end(chunk) === run.end;
    const areCut = run.end - run.start > wholeBytes && before.end - before.start > wholeBytes;
    if (isCut && areCut && liesBelow(inode, chunk) && sink.holds(chunk.hash!)) kept.set(chunk.offset, chunk);
  }
  return kept;
}

/** Whether the journal has changed nothing of it. */
function liesBelow({ extents }: JournalInode, piece: Piece): boolean {
  const extent = extents[findExtent(extents, piece.offset)];
  return (
    extent !== undefined &&
    extent.address === lowerAddress &&
    extent.offset <= piece.offset &&
    extent.offset + extent.length >= end(piece)
  );
}

function end({ offset, length }: Piece): number {
  return offset + length;
}

async function* readRun(core: UnionCore, inode: JournalInode, run: Run, signal: AbortSignal): AsyncGenerator<Buffer> {
  for (let at = run.start; at < run.end; at += readBytes) {
    const length = Math.min(readBytes, run.end - at);
    const bytes = Buffer.allocUnsafe(length);
    await runWithFaults(() => readExtents(core, inode, at, length, bytes, 0), signal);
    yield bytes;
  }
}
