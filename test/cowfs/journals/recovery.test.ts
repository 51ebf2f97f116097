/** What a crash of the host can leave of a journal, cut by cut and bit by bit. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import test, { type ExecutionContext } from "ava";
import { Journal } from "../../../cowfs/journals/journal.ts";
import {
  addFile,
  change,
  contentOf,
  copyJournal,
  describeState,
  findRecordEnds,
  inodeFields,
  newestLog,
  rootFields,
  scratchDirectory,
} from "./scratch.ts";

interface Made {
  readonly directory: string;
  /** The state after each number of records. */
  readonly states: unknown[];
  readonly marked: number;
  readonly ends: number[];
  /** Of files, in the first segment; zeros that were laid ahead come after them. */
  readonly dataBytes: number;
}

/** A journal with every kind of change, of which the first half was synced, left as a crash leaves it. */
async function make(t: ExecutionContext): Promise<Made> {
  const directory = path.join(scratchDirectory(t), "journal");
  const journal = Journal.open(directory);
  const states = [describeState(journal.state)];
  const ids: number[] = [];
  const steps: (() => void)[] = [
    () => ids.push(addFile(journal, "a", "first")),
    () => ids.push(addFile(journal, "b", "second".repeat(1000))),
    () => change(journal, () => journal.apply({ kind: "cut", id: ids[1], size: 9 })),
    () =>
      change(journal, () =>
        journal.apply({ kind: "attribute", id: ids[0], name: "user.a", value: Buffer.from("value") }),
      ),
    () => change(journal, () => journal.apply({ kind: "remove", directory: rootFields.id, name: "a" })),
    () => ids.push(addFile(journal, "c", "third")),
    () => change(journal, () => journal.apply({ kind: "drop", id: ids[1] })),
    () =>
      change(journal, () => journal.apply({ kind: "put", inode: inodeFields(ids[2], { verifier: 2n ** 64n - 1n }) })),
    () => change(journal, () => journal.apply({ kind: "skip", nextInode: 1000 })),
    () =>
      change(journal, () =>
        journal.apply({
          kind: "slot",
          slot: { number: 3, directory: rootFields.id, url: "test://layer", identity: "ab", isOver: false },
        }),
      ),
    () => ids.push(addFile(journal, "d", "fourth")),
    () => ids.push(addFile(journal, "a", "fifth")),
  ];
  for (const [index, step] of steps.entries()) {
    step();
    states.push(describeState(journal.state));
    if (index === 5) await journal.sync();
  }
  journal.flush();
  const left = copyJournal(t, directory);
  const [{ address, length }] = journal.state.get(ids.at(-1)!).extents;
  await journal.close();
  const ends = findRecordEnds(left);
  assert.equal(ends.length, states.length);
  return { directory: left, states, marked: 6, ends, dataBytes: address + length };
}

/** Opens what was damaged: it shows the state after `records`, again and again, or refuses where that was promised. */
async function check(t: ExecutionContext, made: Made, damaged: string, records: number, what: string): Promise<void> {
  if (records < made.marked) {
    const error = t.throws(() => Journal.open(damaged), { code: "journal-damaged" }, what);
    t.true(error!.message.includes(path.join(damaged, "log")), what);
    t.regex(error!.message, /6 records had been synced/, what);
    return;
  }
  const once = Journal.open(damaged);
  assert.deepEqual(describeState(once.state), made.states[records], what);
  const again = copyJournal(t, damaged);
  addFile(once, "after", "new data");
  await once.close();
  const twice = Journal.open(again);
  assert.deepEqual(describeState(twice.state), made.states[records], `${what}, opened twice`);
  await twice.close();
  const later = Journal.open(damaged);
  t.is(contentOf(later, "after"), "new data", what);
  t.is(later.state.replies.get("key of after")?.toString(), "reply of after");
  await later.close();
}

test("a log cut anywhere opens as after the transactions before the cut, and never with fewer than were synced", async (t) => {
  const made = await make(t);
  for (const [records, end] of made.ends.entries()) {
    const length = (made.ends[records + 1] ?? end) - end;
    for (const inside of new Set([0, 1, 19, 20, length - 1])) {
      if (inside < 0 || (inside > 0 && inside >= length)) continue;
      const cut = copyJournal(t, made.directory);
      fs.truncateSync(newestLog(cut), end + inside);
      await check(t, made, cut, records, `cut ${inside} bytes into record ${records + 1}`);
    }
  }
});

test("a flipped bit in a record is a torn tail after the mark and damage before it", async (t) => {
  const made = await make(t);
  for (let record = 0; record + 1 < made.ends.length; record++) {
    const length = made.ends[record + 1] - made.ends[record];
    for (const inside of [0, 2, 5, 9, 13, 20, length - 1]) {
      const flipped = copyJournal(t, made.directory);
      const log = fs.readFileSync(newestLog(flipped));
      log[made.ends[record] + inside] ^= 1 << (inside % 8);
      fs.writeFileSync(newestLog(flipped), log);
      await check(t, made, flipped, record, `a bit of byte ${inside} of record ${record + 1}`);
    }
  }
});

test("a record whose data is not there or is another ends the log like a torn one", async (t) => {
  const made = await make(t);
  const whole = made.dataBytes;
  for (const [what, records, spoil] of [
    ["the last bytes are missing", 11, (file: string) => fs.truncateSync(file, whole - 1)],
    ["all after the synced ones are missing", 10, (file: string) => fs.truncateSync(file, whole - 11)],
    ["the last bytes are zeros", 11, (file: string) => writeAt(file, whole - 5, Buffer.alloc(5))],
    ["a byte in the middle is another", 10, (file: string) => writeAt(file, whole - 11, Buffer.from("X"))],
    ["synced bytes are missing", 5, (file: string) => fs.truncateSync(file, whole - 12)],
    ["the file is missing", 0, (file: string) => fs.rmSync(file)],
  ] as const) {
    const spoilt = copyJournal(t, made.directory);
    spoil(path.join(spoilt, "segments", "00000000"));
    await check(t, made, spoilt, records, what);
  }
});

function writeAt(file: string, position: number, bytes: Buffer): void {
  const handle = fs.openSync(file, "r+");
  fs.writeSync(handle, bytes, 0, bytes.length, position);
  fs.closeSync(handle);
}

test("a mark that was torn while it was written leaves the one before", async (t) => {
  const made = await make(t);
  const mark = fs.readFileSync(path.join(made.directory, "mark"));
  t.is(mark.readDoubleLE(12), 6);
  const torn = copyJournal(t, made.directory);
  mark[13] ^= 0xff;
  fs.writeFileSync(path.join(torn, "mark"), mark);
  fs.truncateSync(newestLog(torn), made.ends[2]);
  await check(t, { ...made, marked: 0 }, torn, 2, "a torn mark promises nothing");
});

test("a log that the host lost before anything was synced starts anew; one that is something else is refused", async (t) => {
  const made = await make(t);
  for (const zeros of [0, 63, 64, 4096]) {
    const lost = copyJournal(t, made.directory);
    fs.writeFileSync(newestLog(lost), Buffer.alloc(zeros));
    t.throws(() => Journal.open(lost), { code: "journal-damaged" });
    fs.writeFileSync(path.join(lost, "mark"), "");
    const journal = Journal.open(lost);
    t.is(journal.state.inodes.size, 0);
    await journal.close();
  }
  const other = copyJournal(t, made.directory);
  writeAt(newestLog(other), 0, Buffer.from("SOMETHING ELSE"));
  t.throws(() => Journal.open(other), { code: "journal-damaged" });
  const newer = copyJournal(t, made.directory);
  writeAt(newestLog(newer), 8, Buffer.from([9]));
  t.throws(() => Journal.open(newer), { code: "journal-too-new" });
});

test("records of an older log do not follow records of a newer one", async (t) => {
  const made = await make(t);
  const stale = copyJournal(t, made.directory);
  fs.truncateSync(newestLog(stale), made.ends[8]);
  const journal = Journal.open(stale);
  addFile(journal, "new", "x");
  await journal.close();
  const [end] = findRecordEnds(stale).slice(-1);
  const old = fs.readFileSync(newestLog(made.directory));
  writeAt(newestLog(stale), end, old.subarray(made.ends[9], made.ends[11]));
  const again = Journal.open(stale);
  t.is(contentOf(again, "new"), "x");
  t.is(contentOf(again, "d"), undefined);
  await again.close();
});

test("what a crash left in a segment is not mistaken for what is written there later", async (t) => {
  const made = await make(t);
  const crashed = copyJournal(t, made.directory);
  fs.truncateSync(newestLog(crashed), made.ends[10]);
  const journal = Journal.open(crashed);
  addFile(journal, "e", "fourth, but longer than it was");
  journal.flush();
  const again = copyJournal(t, crashed);
  await journal.close();
  const opened = Journal.open(again);
  t.is(contentOf(opened, "e"), "fourth, but longer than it was");
  await opened.close();
});
