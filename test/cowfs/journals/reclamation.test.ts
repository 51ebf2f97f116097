/** Disk use: what is dead goes, what is live stays what it was, whatever is written meanwhile. */
import fs from "node:fs";
import path from "node:path";
import test from "ava";
import { Journal } from "../../../cowfs/journals/journal.ts";
import { addFile, change, contentOf, rootFields, scratchDirectory } from "./scratch.ts";

const fullSegmentBytes = 64 * 1024;
const limits = { fullSegmentBytes, logBytes: 256 * 1024 };
const turn = () => new Promise((resolve) => setImmediate(resolve));

function diskUse(directory: string): number {
  const sizes = fs.readdirSync(path.join(directory, "segments"), { withFileTypes: true }).map(({ name }) => {
    return fs.statSync(path.join(directory, "segments", name)).size;
  });
  return sizes.reduce((sum, size) => sum + size, 0);
}

function overwrite(journal: Journal, id: number, offset: number, bytes: Buffer): void {
  const { address, checksum } = journal.appendData(bytes);
  const extent = { offset, length: bytes.length, address };
  change(journal, () => journal.apply({ kind: "lay", id, extent, checksum }));
}

function remove(journal: Journal, name: string, id: number): void {
  change(journal, () => {
    journal.apply({ kind: "remove", directory: rootFields.id, name });
    journal.apply({ kind: "drop", id });
  });
}

/** What a round may not have taken in yet: (G4). */
const bound = (live: number, duringRound: number) => 4 * live + 3 * fullSegmentBytes + duringRound;

for (const [what, step] of [
  ["overwriting one block", (journal: Journal, id: number) => overwrite(journal, id, 0, Buffer.alloc(4096, 7))],
  [
    "creating and deleting",
    (journal: Journal) => remove(journal, "passing", addFile(journal, "passing", "x".repeat(4096))),
  ],
] as const)
  test(`${what} for ever keeps the disk's use within its bound, and what is beside it stays`, async (t) => {
    const directory = path.join(scratchDirectory(t), "journal");
    const journal = Journal.open(directory, undefined, limits);
    const kept = addFile(journal, "kept", "kept ".repeat(2000));
    let written = 0;
    for (let round = 0; round < 12; round++) {
      for (let index = 0; index < 100; index++) {
        step(journal, kept);
        journal.flush();
        written += 4096;
      }
      await journal.checkpoint();
      const live = journal.state.use.total;
      const used = diskUse(directory);
      t.true(used <= bound(live, 100 * 4096), `${used} bytes for ${live} live ones after ${written}`);
    }
    t.is(contentOf(journal, "kept")?.slice(4096), "kept ".repeat(2000).slice(4096));
    await journal.close();
    const again = Journal.open(directory, undefined, limits);
    t.is(contentOf(again, "kept")?.slice(4096), "kept ".repeat(2000).slice(4096));
    await again.close();
  });

test("rounds begin by themselves where much is dead", async (t) => {
  const directory = path.join(scratchDirectory(t), "journal");
  const journal = Journal.open(directory, undefined, { ...limits, logBytes: 2 ** 40 });
  const id = addFile(journal, "file", "x".repeat(4096));
  const deadline = Date.now() + 120_000;
  let most = 0;
  for (let written = 0; written < 1500 || diskUse(directory) > most / 2; written++) {
    if (Date.now() > deadline) break;
    if (written < 1500) overwrite(journal, id, 0, Buffer.alloc(4096, written));
    journal.flush();
    most = Math.max(most, diskUse(directory));
    await (written < 1500 ? turn() : new Promise((resolve) => setTimeout(resolve, 10)));
  }
  t.true(diskUse(directory) <= most / 2);
  t.is(journal.checkpointFailure, undefined);
  await journal.close();
});

test("compaction moves what is live of mostly dead segments, and what is written meanwhile is never undone", async (t) => {
  const directory = path.join(scratchDirectory(t), "journal");
  const journal = Journal.open(directory, undefined, limits);
  const expected = new Map<string, Buffer>();
  const ids = new Map<string, number>();
  for (let index = 0; index < 400; index++) {
    const [name, content] = [`file ${index}`, `${index} `.repeat(600)];
    ids.set(name, addFile(journal, name, content));
    expected.set(name, Buffer.from(content));
  }
  for (let index = 0; index < 400; index++) {
    if (index % 9 === 0) continue;
    remove(journal, `file ${index}`, ids.get(`file ${index}`)!);
    expected.delete(`file ${index}`);
  }
  const names = [...expected.keys()];
  const before = diskUse(directory);
  let isRunning = true;
  const round = journal.checkpoint().finally(() => (isRunning = false));
  for (let seed = 1; isRunning; seed = (seed * 48271) % 2147483647) {
    const name = names[seed % names.length];
    const content = expected.get(name)!;
    const offset = seed % content.length;
    const piece = Buffer.alloc(Math.min(50, content.length - offset), seed);
    piece.copy(content, offset);
    overwrite(journal, ids.get(name)!, offset, piece);
    await turn();
  }
  await round;
  t.true(diskUse(directory) < before, `${diskUse(directory)} of ${before}`);
  const check = (opened: Journal) => {
    for (const [name, content] of expected) t.is(contentOf(opened, name), content.toString("latin1"), name);
  };
  check(journal);
  await journal.close();
  const again = Journal.open(directory, undefined, limits);
  check(again);
  t.is(
    again.state.use.total,
    [...expected.values()].reduce((sum, { length }) => sum + length, 0),
  );
  await again.close();
});
