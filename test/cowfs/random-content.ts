/**
 * Random operations on the content of one file of a FileSystem, beside what it must hold: after fsx of the Apple and Linux
 * test suites. What is read is compared after each.
 */
import assert from "node:assert/strict";
import type { FileId, FileSystem } from "../../cowfs/file-system.ts";
import { choose, createRandom, type Random } from "../random.ts";
import { root } from "./union/snapshot.ts";

const mostBytes = 300_000;
const longest = [10, 5000, 70_000];

export interface ContentRun {
  readonly seed: number;
  readonly operations: number;
  /** Called now and then, between operations: restarts and checkpoints. */
  readonly onPause: () => Promise<void>;
  /** The file system, which may be another one after a pause. */
  readonly fileSystem: () => FileSystem;
  /** The file, and what it holds at first. */
  readonly id: FileId;
  readonly content: Buffer;
}

/** Rejects with what differs, and the seed. */
export async function changeContent({ seed, operations, onPause, fileSystem, id, content }: ContentRun): Promise<void> {
  const random = createRandom(seed);
  let expected = content;
  for (let done = 0; done < operations; done++) {
    const what = random(30) === 0 ? "pause" : choose(random, ["write", "write", "write", "read", "read", "resize"]);
    try {
      if (what === "pause") await onPause();
      else expected = perform(fileSystem(), id, what, expected, random);
      if (what === "pause" || random(10) === 0) compare(fileSystem(), id, expected, 0, mostBytes);
    } catch (error) {
      throw new Error(`seed ${seed}, operation ${done} (${what}): ${(error as Error).message}`, { cause: error });
    }
  }
  compare(fileSystem(), id, expected, 0, mostBytes);
}

function perform(fs: FileSystem, id: FileId, what: string, expected: Buffer, random: Random): Buffer {
  const { offset, length } = chooseRange(random, what === "read" ? expected.length + 100 : mostBytes - 70_000);
  if (what === "read") {
    compare(fs, id, expected, offset, length);
    return expected;
  }
  if (what === "resize") {
    const size = choose(random, [0, expected.length >> 1, offset, offset]);
    transact(fs, () => fs.setAttributes(root, id, { size }));
    return Buffer.concat([expected], size);
  }
  const data = Buffer.alloc(length, String.fromCharCode(97 + random(26)));
  transact(fs, () => fs.write(root, id, offset, data));
  const after = Buffer.concat([expected], Math.max(expected.length, offset + length));
  data.copy(after, offset);
  return after;
}

/** Mostly small, sometimes at a page's edge. */
function chooseRange(random: Random, limit: number): { offset: number; length: number } {
  const offset = random(limit);
  return { offset: random(4) === 0 ? offset - (offset % 4096) : offset, length: 1 + random(choose(random, longest)) };
}

function compare(fs: FileSystem, id: FileId, expected: Buffer, offset: number, length: number): void {
  const found = Buffer.alloc(length);
  const count = fs.read(root, id, offset, length, found, 0);
  const wanted = expected.subarray(offset, offset + length);
  assert.equal(count, wanted.length, `bytes at ${offset}`);
  assert.ok(found.subarray(0, count).equals(wanted), `${length} bytes at ${offset} differ`);
  assert.equal(fs.getAttributes(id).size, expected.length);
}

function transact(fs: FileSystem, run: () => void): void {
  fs.transact(undefined, () => {
    run();
    return Buffer.alloc(0);
  });
}
