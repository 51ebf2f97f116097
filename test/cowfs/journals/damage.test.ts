/** Damage to what files hold: a flipped bit in a segment is found when it is read, named, and never given out. */
import fs from "node:fs";
import path from "node:path";
import test from "ava";
import { checkpointPath, listCheckpoints } from "../../../cowfs/journals/checkpoint-file.ts";
import { Journal } from "../../../cowfs/journals/journal.ts";
import { listPinFiles } from "../../../cowfs/journals/pins.ts";
import { verifyJournal } from "../../../cowfs/journals/verify-journal.ts";
import { addFile, change, contentOf, copyJournal, newestLog, rootFields, scratchDirectory } from "./scratch.ts";

const limits = { fullSegmentBytes: 64 * 1024 };
const content = (index: number) => `content of ${index} `.repeat(700);

function flip(file: string, byte: number): void {
  const bytes = fs.readFileSync(file);
  bytes[byte] ^= 4;
  fs.writeFileSync(file, bytes);
}

async function makeFull(t: Parameters<typeof scratchDirectory>[0]) {
  const directory = path.join(scratchDirectory(t), "journal");
  const journal = Journal.open(directory, undefined, limits);
  for (let index = 0; index < 20; index++) addFile(journal, `file ${index}`, content(index));
  await journal.checkpoint();
  const segment = (number: number) => path.join(directory, "segments", String(number).padStart(8, "0"));
  return { directory, journal, segment };
}

/** What each file gives: its content, or the error's code and message. */
function readAll(journal: Journal, count = 20): string[] {
  return Array.from({ length: count }, (_, index) => {
    try {
      return contentOf(journal, `file ${index}`) === content(index) ? "whole" : "wrong";
    } catch (error) {
      return `${(error as { code: string }).code} ${(error as Error).message}`;
    }
  });
}

for (const when of ["in the process that wrote it", "after opening again"])
  test(`a flipped bit of a full segment is found ${when}, wherever it is, and what does not lie there is given out`, async (t) => {
    const { directory, journal, segment } = await makeFull(t);
    let opened = journal;
    for (const byte of [0, 100, 16_383, 16_384, 40_000, fs.statSync(segment(1)).size - 1]) {
      if (when === "after opening again") {
        await opened.close();
        opened = Journal.open(directory, undefined, limits);
      }
      flip(segment(1), byte);
      const found = readAll(opened);
      t.false(found.includes("wrong"), `${byte}`);
      const damaged = found.filter((each) => each !== "whole");
      t.true(damaged.length >= 1 && damaged.length <= 3, `${byte}: ${damaged.length}`);
      for (const each of damaged) t.true(each.startsWith(`journal-damaged the segment ${segment(1)}`), each);
      flip(segment(1), byte);
      t.deepEqual([...new Set(readAll(opened))], ["whole"]);
    }
    await opened.close();
  });

test("a read of part of a file is verified as well", async (t) => {
  const { journal, segment } = await makeFull(t);
  const { extents } = journal.state.get(journal.state.get(rootFields.id).entries.get("file 6")!.id);
  const target = Buffer.alloc(10);
  journal.readData(extents[0].address + 5, 10, target, 0);
  t.is(target.toString(), content(6).slice(5, 15));
  flip(segment(Math.floor(extents[0].address / 2 ** 26)), (extents[0].address % 2 ** 26) + 7);
  t.throws(() => journal.readData(extents[0].address + 5, 10, target, 0), { code: "journal-damaged" });
  await journal.close();
});

/** Twenty files, some before a round of checkpoints and some after, as a kill leaves them: all in one segment. */
async function makeKilled(t: Parameters<typeof scratchDirectory>[0], beforeRound: number): Promise<string> {
  const journal = Journal.open(path.join(scratchDirectory(t), "journal"));
  for (let index = 0; index < 20; index++) {
    addFile(journal, `file ${index}`, content(index));
    if (index + 1 === beforeRound) await journal.checkpoint();
  }
  await journal.sync();
  const copy = copyJournal(t, journal.directory);
  await journal.close();
  return copy;
}

for (const beforeRound of [0, 7, 20])
  test(`a flipped bit in the segment that a killed process appended to is found, with ${beforeRound} of its files before a round`, async (t) => {
    const directory = await makeKilled(t, beforeRound);
    const segment = path.join(directory, "segments", "00000000");
    // Zeros may have been laid ahead after it.
    const dataBytes = Array.from({ length: 20 }, (_, index) => content(index).length).reduce((sum, each) => sum + each);
    for (const byte of [0, 16_383, 16_384, 70_000, 120_000, dataBytes - 1]) {
      flip(segment, byte);
      const journal = Journal.open(directory);
      const found = readAll(journal);
      t.false(found.includes("wrong"), `${byte}`);
      const damaged = found.filter((each) => each !== "whole");
      t.true(damaged.length >= 1 && damaged.length <= 4, `${byte}: ${damaged.length}`);
      for (const each of damaged) t.true(each.startsWith(`journal-damaged the segment ${segment}`), each);
      await journal.close();
      flip(segment, byte);
    }
    const { damage, bytes, comparedBytes } = await verifyJournal(directory, { signal: new AbortController().signal });
    t.deepEqual(damage, []);
    t.is(comparedBytes, bytes);
  });

test("what is appended to a segment that a killed process began is verified by each later process", async (t) => {
  const directory = await makeKilled(t, 7);
  const journal = Journal.open(directory);
  for (let index = 20; index < 40; index++) addFile(journal, `file ${index}`, content(index));
  await journal.checkpoint();
  await journal.close();
  const segment = path.join(directory, "segments", "00000000");
  for (const byte of [50, 120_000, fs.statSync(segment).size - 1]) {
    flip(segment, byte);
    const opened = Journal.open(directory);
    const found = readAll(opened, 40);
    t.false(found.includes("wrong"), `${byte}`);
    t.true(
      found.some((each) => each.startsWith("journal-damaged")),
      `${byte}`,
    );
    await opened.close();
    flip(segment, byte);
  }
});

test("checksums speak only of what was synced: what is written over a lost tail is not taken for damage", async (t) => {
  const directory = await makeKilled(t, 20);
  const segment = path.join(directory, "segments", "00000000");
  // Appended while the round runs, after what it covers was synced.
  const onStep = (step: string) => {
    if (step === "synced") addFile(journal, "lost", content(99));
  };
  const journal = Journal.open(directory, undefined, { onStep });
  await journal.checkpoint();
  const size = fs.statSync(segment).size;
  const copy = copyJournal(t, directory);
  await journal.close();
  fs.truncateSync(path.join(copy, "segments", "00000000"), size - content(99).length);
  const opened = Journal.open(copy);
  t.is(contentOf(opened, "lost"), undefined);
  addFile(opened, "new", content(98));
  await opened.close();
  const again = Journal.open(copy);
  t.is(contentOf(again, "new"), content(98));
  t.deepEqual([...new Set(readAll(again))], ["whole"]);
  await again.close();
});

test("checksums that are themselves damaged or gone are made anew, and the files are whole", async (t) => {
  const { directory, journal } = await makeFull(t);
  await journal.close();
  const sums = path.join(directory, "sums");
  const [first, second] = fs.readdirSync(sums);
  flip(path.join(sums, first), 30);
  fs.rmSync(path.join(sums, second));
  const again = Journal.open(directory, undefined, limits);
  t.deepEqual([...new Set(readAll(again))], ["whole"]);
  addFile(again, "more", "x");
  await again.checkpoint();
  t.true(fs.existsSync(path.join(sums, second)));
  flip(path.join(directory, "segments", first), 20);
  t.true(readAll(again)[0].startsWith("journal-damaged"));
  await again.close();
});

test("compaction leaves a damaged segment where it is, and goes on with the others", async (t) => {
  const { directory, journal, segment } = await makeFull(t);
  flip(segment(1), 3);
  t.true(readAll(journal).some((each) => each.startsWith("journal-damaged")));
  for (let index = 0; index < 20; index++) {
    if (index % 5 === 0) continue;
    const { id } = journal.state.get(rootFields.id).entries.get(`file ${index}`)!;
    change(journal, () => journal.apply({ kind: "cut", id, size: index === 6 ? 100 : 0 }));
  }
  for (let round = 0; round < 3; round++) await journal.checkpoint();
  t.true(fs.existsSync(segment(1)));
  t.is(journal.checkpointFailure, undefined);
  t.is(contentOf(journal, "file 0"), content(0));
  await journal.close();
  t.true(fs.readdirSync(path.join(directory, "sums")).every((name) => !name.endsWith(".new")));
});

test("verifying a journal reads all of it, names what is damaged wherever that is, and changes nothing", async (t) => {
  const { directory, journal, segment } = await makeFull(t);
  await journal.snapshots.take("one");
  await journal.checkpoint();
  addFile(journal, "since then", "y".repeat(5000));
  await t.throwsAsync(verifyJournal(directory, { signal: AbortSignal.timeout(60_000) }), { code: "in-use" });
  await journal.close();
  const verify = () => verifyJournal(directory, { signal: AbortSignal.timeout(60_000) });
  const whole = await verify();
  t.like(whole, { records: 1, inodes: 22, snapshots: 1, damage: [] });
  t.is(whole.comparedBytes, whole.bytes);
  const checkpoint = checkpointPath(directory, listCheckpoints(directory)[0]);
  const last = Math.max(...fs.readdirSync(path.join(directory, "segments")).map(Number));
  for (const [file, byte] of [
    [segment(1), 30_000],
    [segment(last), 4000],
    [checkpoint, 500],
    [listPinFiles(directory)[0].path, 500],
    [newestLog(directory), 80],
    [path.join(directory, "identity"), 3],
  ] as const) {
    flip(file, byte);
    const { damage } = await verify();
    // One of two lines of the identity is enough.
    if (file.endsWith("identity")) t.deepEqual(damage, []);
    else {
      t.is(damage.length, 1, damage.join());
      t.true(damage[0].includes(file) || damage[0].includes(directory), damage[0]);
    }
    flip(file, byte);
  }
  t.deepEqual(await verify(), whole);
  const stopped = AbortSignal.abort(new Error("enough"));
  await t.throwsAsync(verifyJournal(directory, { signal: stopped }), { message: "enough" });
  await t.throwsAsync(verifyJournal(path.dirname(directory), { signal: stopped }), { code: "journal-unknown" });
  const again = Journal.open(directory, undefined, limits);
  t.is(contentOf(again, "since then"), "y".repeat(5000));
  await again.close();
});
