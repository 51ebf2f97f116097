/** Zeros that are laid ahead in a segment (A1, A2 in segments.ts): syncs find their place there, and nothing else changes. */
import fs from "node:fs";
import path from "node:path";
import test from "ava";
import { runWithFaults } from "../../../cowfs/fault.ts";
import { Journal } from "../../../cowfs/journals/journal.ts";
import { nameSegment } from "../../../cowfs/journals/segments.ts";
import { verifyJournal } from "../../../cowfs/journals/verify-journal.ts";
import { addFile, contentOf, copyJournal, diskError, makeDisk, scratchDirectory } from "./scratch.ts";

const signal = AbortSignal.timeout(240_000);
const content = (index: number) => `content of ${index} `.repeat(100);

async function addSynced(journal: Journal, first: number, count: number): Promise<void> {
  for (let index = first; index < first + count; index++) {
    addFile(journal, `file ${index}`, content(index));
    await journal.sync();
  }
}

function requireFiles(journal: Journal, count: number): void {
  for (let index = 0; index < count; index++)
    if (contentOf(journal, `file ${index}`) !== content(index))
      throw new Error(`file ${index} is not what was written`);
}

function sizeOf(directory: string, segment = 0): number {
  return fs.statSync(path.join(directory, "segments", nameSegment(segment))).size;
}

function sumContents(count: number): number {
  return Array.from({ length: count }, (_, index) => content(index).length).reduce((sum, length) => sum + length, 0);
}

test("what is synced little by little does not make its segment grow, and closing leaves only what was written", async (t) => {
  const directory = scratchDirectory(t);
  const journal = Journal.open(directory);
  await addSynced(journal, 0, 1);
  const size = sizeOf(directory);
  t.true(size > sumContents(10));
  await addSynced(journal, 1, 9);
  t.is(sizeOf(directory), size);
  requireFiles(journal, 10);
  await journal.close();
  t.is(sizeOf(directory), sumContents(10));
  const again = Journal.open(directory);
  requireFiles(again, 10);
  await again.close();
});

test("what is synced in large pieces has nothing laid ahead of it", async (t) => {
  const directory = scratchDirectory(t);
  const journal = Journal.open(directory);
  addFile(journal, "large", "x".repeat(300_000));
  await journal.sync();
  t.is(sizeOf(directory), 300_000);
  await journal.close();
});

test("a segment that is left for a snapshot's sake ends with what was written to it", async (t) => {
  const directory = scratchDirectory(t);
  const journal = Journal.open(directory);
  await addSynced(journal, 0, 3);
  t.true(sizeOf(directory) > sumContents(3));
  await journal.snapshots.take("pin");
  t.is(sizeOf(directory), sumContents(3));
  await addSynced(journal, 3, 3);
  const fork = path.join(scratchDirectory(t), "fork");
  await journal.snapshots.fork("pin", fork, "same");
  requireFiles(journal, 6);
  await journal.close();
  const forked = Journal.open(fork);
  requireFiles(forked, 3);
  t.is(contentOf(forked, "file 3"), undefined);
  await forked.close();
});

for (const withRound of [false, true])
  test(`zeros that killed processes left stay as garbage, ${withRound ? "also after a round" : "before any round"}, and all is verified`, async (t) => {
    let directory = scratchDirectory(t);
    for (let life = 0; life < 3; life++) {
      const journal = Journal.open(directory);
      requireFiles(journal, 4 * life);
      await addSynced(journal, 4 * life, 4);
      if (withRound) await journal.checkpoint();
      const killed = copyJournal(t, directory);
      await journal.close();
      directory = killed;
      t.true(sizeOf(directory) > sumContents(4 * life + 4));
      const { damage, bytes, comparedBytes } = await verifyJournal(directory, { signal });
      t.deepEqual(damage, []);
      t.is(comparedBytes, bytes);
    }
    const journal = Journal.open(directory);
    requireFiles(journal, 12);
    await journal.close();
  });

test("zeros that the disk does not take are done without", async (t) => {
  const directory = scratchDirectory(t);
  let refused = 0;
  const disk = makeDisk({
    write(file, bytes, start, length, position) {
      if (length === 64 * 1024) {
        refused++;
        throw diskError("ENOSPC");
      }
      return fs.writeSync(file, bytes, start, length, position);
    },
  });
  const journal = Journal.open(directory, disk);
  await addSynced(journal, 0, 4);
  t.true(refused > 0);
  t.is(sizeOf(directory), sumContents(4));
  requireFiles(journal, 4);
  await journal.close();
});

test("near its quota a journal lays nothing ahead", async (t) => {
  const directory = path.join(scratchDirectory(t), "journal");
  const quotaBytes = 16 * 1024 * 1024;
  const journal = Journal.open(directory, undefined, { quotaBytes });
  const piece = Buffer.alloc(64 * 1024, "x");
  let most = 0;
  try {
    for (let index = 0; ; index++) {
      await runWithFaults(() => {
        journal.room.require(piece.length, 1, 0);
        addFile(journal, `piece ${index}`, piece.toString("latin1"));
      }, signal);
      await journal.sync();
      most = Math.max(most, journal.room.usedBytes);
    }
  } catch (error) {
    t.is((error as { code: string }).code, "ENOSPC");
  }
  t.true(most > quotaBytes / 2 && most <= quotaBytes, `${most} bytes`);
  await journal.close();
});
