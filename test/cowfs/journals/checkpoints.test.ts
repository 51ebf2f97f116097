/** Checkpoints: what they hold, what a crash at each of their steps leaves, and what damage to them is called. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { crc32 } from "node:zlib";
import test, { type ExecutionContext } from "ava";
import { ChangeWriter } from "../../../cowfs/journals/changes.ts";
import { checkpointPath, listCheckpoints, newCheckpointPath } from "../../../cowfs/journals/checkpoint-file.ts";
import type { CheckpointStep } from "../../../cowfs/journals/checkpoint-limits.ts";
import { type FoldTask, foldLog } from "../../../cowfs/journals/fold.ts";
import { Journal } from "../../../cowfs/journals/journal.ts";
import { listLogFiles } from "../../../cowfs/journals/log-file.ts";
import type { JournalState } from "../../../cowfs/journals/state.ts";
import { listRareChanges } from "../../../cowfs/journals/state-changes.ts";
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

/** Every kind of state: also what does not show, as a cookie that was given out and is gone. */
function fill(journal: Journal): void {
  const a = addFile(journal, "a", "first");
  addFile(journal, "b", "second".repeat(1000));
  const gone = addFile(journal, "gone", "x");
  change(journal, () => {
    journal.apply({ kind: "remove", directory: rootFields.id, name: "gone" });
    journal.apply({ kind: "drop", id: gone });
    journal.apply({ kind: "attribute", id: a, name: "user.a", value: Buffer.from("value") });
    journal.apply({ kind: "attribute", id: a, name: "user.b", value: undefined });
    journal.apply({ kind: "put", inode: inodeFields(a, { size: 5, verifier: 2n ** 64n - 1n }) });
    journal.apply({ kind: "enter", directory: rootFields.id, name: "hidden", id: -1, cookie: 9 });
    journal.apply({ kind: "skip", nextInode: 1000 });
    const slot = { number: 3, directory: rootFields.id, url: "test://layer", identity: "ab", isOver: true };
    journal.apply({ kind: "slot", slot });
    journal.apply({ kind: "merge", id: a, merges: -1 });
    const far = journal.appendData(Buffer.from("far"));
    journal.apply({ kind: "large", id: a, size: 2n ** 63n - 1n });
    const extent = { offset: 2 ** 52 - 4, length: 3, address: far.address };
    journal.apply({ kind: "lay", id: a, region: 2047, extent, checksum: far.checksum });
    journal.apply({ kind: "mounted", directory: rootFields.id, time: { seconds: 7, nanoseconds: 8 } });
    const copied = inodeFields(2 ** 40 + 7, { size: 100 });
    journal.apply({ kind: "put", inode: copied });
    journal.apply({ kind: "lay", id: copied.id, extent: { offset: 0, length: 100, address: -1 }, checksum: 0 });
    journal.apply({ kind: "cut", id: copied.id, size: 50 });
  });
}

async function reopen(directory: string): Promise<unknown> {
  const journal = Journal.open(directory);
  const state = describeState(journal.state);
  await journal.close();
  return state;
}

test("a checkpoint and the log after it show what the whole log showed, replies too, and the old files are gone", async (t) => {
  const directory = path.join(scratchDirectory(t), "journal");
  const journal = Journal.open(directory);
  fill(journal);
  const before = describeState(journal.state);
  await journal.checkpoint();
  assert.deepEqual(await reopen(copyJournal(t, directory)), before);
  addFile(journal, "c", "third");
  await journal.checkpoint();
  addFile(journal, "d", "fourth");
  const state = describeState(journal.state);
  journal.flush();
  const left = copyJournal(t, directory);
  t.deepEqual(listCheckpoints(directory), [5]);
  t.is(listLogFiles(directory).length, 1);
  await journal.close();
  assert.deepEqual(await reopen(left), state);
  const again = Journal.open(left);
  assert.deepEqual(describeState(again.state), state);
  t.is(again.state.replies.get("key of a")?.toString(), "reply of a");
  t.is(contentOf(again, "b"), "second".repeat(1000));
  await again.close();
});

test("a crash at any step of a round, with changes made meanwhile, loses nothing and leaves nothing behind", async (t) => {
  const directory = path.join(scratchDirectory(t), "journal");
  const left: { step: CheckpointStep; copy: string; state: unknown }[] = [];
  let steps = 0;
  const onStep = (step: CheckpointStep) => {
    addFile(journal, `during ${steps++}`, `at ${step}`);
    journal.flush();
    left.push({ step, copy: copyJournal(t, directory), state: describeState(journal.state) });
  };
  const journal = Journal.open(directory, undefined, { onStep, fullSegmentBytes: 4096 });
  fill(journal);
  // Two rounds: the second has an older checkpoint to go on from.
  for (let round = 0; round < 2; round++) {
    for (let index = 0; index < 150; index++) {
      const id = addFile(journal, `much ${round} ${index}`, "0123456789".repeat(50));
      if (index % 30 !== 0) change(journal, () => journal.apply({ kind: "cut", id, size: 0 }));
    }
    await journal.checkpoint();
  }
  await journal.close();
  t.true(left.some(({ step }) => step === "compacted"));
  t.true(left.length >= 16, left.map(({ step }) => step).join());
  for (const { step, copy, state } of left) {
    assert.deepEqual(await reopen(copy), state, step);
    assert.deepEqual(await reopen(copy), state, `${step}, opened twice`);
    const again = Journal.open(copy);
    for (const name of again.state.get(rootFields.id).entries.after(0)) if (name.id !== -1) contentOf(again, name.name);
    await again.checkpoint();
    addFile(again, "after", "new");
    await again.close();
    t.deepEqual([listCheckpoints(copy).length, listLogFiles(copy).length], [1, 1], step);
    t.false(
      fs.readdirSync(copy).some((name) => name.endsWith(".new")),
      step,
    );
  }
});

/** A journal with a checkpoint and some records after it, of which none but the first was synced. */
async function makeCheckpointed(t: ExecutionContext) {
  const directory = path.join(scratchDirectory(t), "journal");
  const journal = Journal.open(directory);
  fill(journal);
  await journal.checkpoint();
  const states: unknown[] = [describeState(journal.state)];
  for (const name of ["e", "f", "a", "g"]) {
    addFile(journal, name, `content of ${name}`);
    states.push(describeState(journal.state));
    if (name === "e") await journal.sync();
  }
  journal.flush();
  const left = copyJournal(t, directory);
  await journal.close();
  return { left, states, ends: findRecordEnds(left), newest: listCheckpoints(left).at(-1)! };
}

test("a log after a checkpoint that is cut or flipped anywhere opens as after what is whole, or refuses what was promised", async (t) => {
  const { left, states, ends } = await makeCheckpointed(t);
  const spoil = async (records: number, what: string, change: (log: Buffer) => Buffer) => {
    const spoilt = copyJournal(t, left);
    fs.writeFileSync(newestLog(spoilt), change(fs.readFileSync(newestLog(spoilt))));
    if (records < 1) {
      const error = t.throws(() => Journal.open(spoilt), { code: "journal-damaged" }, what);
      t.true(error!.message.includes(newestLog(spoilt)), what);
      return;
    }
    assert.deepEqual(await reopen(spoilt), states[records], what);
    assert.deepEqual(await reopen(spoilt), states[records], `${what}, opened twice`);
  };
  for (const [records, end] of ends.entries())
    for (const inside of [0, 1, 21])
      await spoil(records, `cut ${inside} bytes after record ${records}`, (log) => log.subarray(0, end + inside));
  for (const [records, end] of ends.slice(0, -1).entries())
    for (const inside of [2, 5, 9, 13, 30])
      await spoil(records, `a bit of byte ${inside} of record ${records + 1}`, (log) => {
        log[end + inside] ^= 1 << (inside % 8);
        return log;
      });
  for (const byte of [12, 20, 24, 28]) await spoil(0, `a bit of the header's byte ${byte}`, (log) => flip(log, byte));
  await spoil(0, "zeros", (log) => Buffer.alloc(log.length));
});

function flip(bytes: Buffer, at: number): Buffer {
  bytes[at] ^= 4;
  return bytes;
}

test("a checkpoint that is damaged, or whose log is missing, or a log whose checkpoint is, is refused by name", async (t) => {
  const { left, newest } = await makeCheckpointed(t);
  const size = fs.statSync(checkpointPath(left, newest)).size;
  for (const at of [0, 13, 30, 64, 70, 200, Math.floor(size / 2), size - 6, size - 1]) {
    const spoilt = copyJournal(t, left);
    const file = checkpointPath(spoilt, newest);
    fs.writeFileSync(file, flip(fs.readFileSync(file), at));
    const error = t.throws(() => Journal.open(spoilt), { code: "journal-damaged" }, `byte ${at}`);
    t.true(error!.message.includes(file), error!.message);
  }
  for (const length of [0, 10, 64, 80, size - 8, size - 1, size + 1]) {
    const spoilt = copyJournal(t, left);
    fs.truncateSync(checkpointPath(spoilt, newest), length);
    const error = t.throws(() => Journal.open(spoilt), { code: "journal-damaged" }, `of ${length} bytes`);
    t.true(error!.message.includes(checkpointPath(spoilt, newest)), error!.message);
  }
  for (const missing of [checkpointPath(left, newest), newestLog(left)]) {
    const spoilt = copyJournal(t, left);
    fs.rmSync(path.join(spoilt, path.basename(missing)));
    const error = t.throws(() => Journal.open(spoilt), { code: "journal-damaged" });
    t.true(error!.message.includes(path.basename(newestLog(left))), error!.message);
  }
});

test("a checkpoint that was being written counts for nothing, and is written anew", async (t) => {
  const { left, states } = await makeCheckpointed(t);
  fs.writeFileSync(newCheckpointPath(left), "torn");
  fs.writeFileSync(path.join(left, "log.new"), "torn");
  const journal = Journal.open(left);
  assert.deepEqual(describeState(journal.state), states.at(-1));
  await journal.checkpoint();
  await journal.close();
  assert.deepEqual(await reopen(left), states.at(-1));
  t.deepEqual(listLogFiles(left).length, 1);
});

test("a journal of version 1, with its one file `log`, opens as it was and goes on with checkpoints", async (t) => {
  const directory = path.join(scratchDirectory(t), "journal");
  const journal = Journal.open(directory);
  fill(journal);
  const state = describeState(journal.state);
  await journal.close();
  const bytes = fs.readFileSync(newestLog(directory));
  bytes.fill(0, 8, 64);
  bytes.writeUInt32LE(1, 8);
  fs.rmSync(newestLog(directory));
  fs.writeFileSync(path.join(directory, "log"), bytes);
  assert.deepEqual(await reopen(directory), state);
  const old = Journal.open(directory);
  addFile(old, "new", "content");
  await old.checkpoint();
  const later = describeState(old.state);
  await old.close();
  t.false(fs.existsSync(path.join(directory, "log")));
  assert.deepEqual(await reopen(directory), later);
});

test("a round goes on when the thread that folds could not be had once; when it never can, nothing is lost", async (t) => {
  for (const failures of [1, 2]) {
    let calls = 0;
    const fold = async (task: FoldTask) => {
      if (++calls <= failures) throw new Error("no thread");
      return foldLog(task);
    };
    const directory = scratchDirectory(t);
    const journal = Journal.open(directory, undefined, { fold });
    addFile(journal, "a", "first");
    if (failures === 1) await journal.checkpoint();
    else await t.throwsAsync(journal.checkpoint(), { message: "no thread" });
    t.is(listCheckpoints(directory).length, failures === 1 ? 1 : 0);
    addFile(journal, "b", "second");
    await journal.close();
    const again = Journal.open(directory);
    t.deepEqual([contentOf(again, "a"), contentOf(again, "b")], ["first", "second"]);
    await again.close();
  }
});

test("a log that has grown is folded by itself, and on closing", async (t) => {
  const directory = path.join(scratchDirectory(t), "journal");
  const journal = Journal.open(directory, undefined, { logBytes: 20_000, closingLogBytes: 1000 });
  for (let index = 0; index < 300; index++) {
    addFile(journal, `file ${index}`, "x");
    journal.flush();
    if (index % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
  }
  const state = describeState(journal.state);
  await journal.close();
  t.is(journal.checkpointFailure, undefined);
  t.is(findRecordEnds(directory).length, 1);
  t.deepEqual(listCheckpoints(directory), [300]);
  assert.deepEqual(await reopen(directory), state);
});

test("a checkpoint that fails leaves the journal in service, and the next one makes up for it", async (t) => {
  const directory = path.join(scratchDirectory(t), "journal");
  const journal = Journal.open(directory);
  fill(journal);
  fs.mkdirSync(newCheckpointPath(directory));
  await t.throwsAsync(journal.checkpoint());
  addFile(journal, "after", "x");
  await t.throwsAsync(journal.checkpoint());
  addFile(journal, "after it", "x");
  const state = describeState(journal.state);
  journal.flush();
  const left = copyJournal(t, directory);
  fs.rmdirSync(newCheckpointPath(left));
  t.is(listLogFiles(left).length, 3);
  assert.deepEqual(await reopen(left), state);
  fs.rmdirSync(newCheckpointPath(directory));
  await journal.checkpoint();
  t.is(listLogFiles(directory).length, 1);
  await journal.close();
  assert.deepEqual(await reopen(directory), state);
});

test("a file that was open without a name when the process died is dropped from what is kept, for good", async (t) => {
  const directory = path.join(scratchDirectory(t), "journal");
  const journal = Journal.open(directory);
  fill(journal);
  const orphan = journal.allocateInode();
  change(journal, () => journal.apply({ kind: "put", inode: inodeFields(orphan, { links: 0 }) }));
  await journal.checkpoint();
  const left = copyJournal(t, directory);
  await journal.close();
  const once = Journal.open(left);
  t.false(once.state.inodes.has(orphan));
  const state = describeState(once.state);
  await once.checkpoint();
  await once.close();
  t.false(fs.readFileSync(checkpointPath(left, listCheckpoints(left)[0])).includes(doubleBytes(orphan)));
  assert.deepEqual(await reopen(left), state);
});

function doubleBytes(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return bytes;
}

/** The checkpoint as version 1 wrote it: all of the state as blocks of changes. */
function rewriteAsVersion1(directory: string, state: JournalState): void {
  const file = checkpointPath(directory, listCheckpoints(directory)[0]);
  const header = fs.readFileSync(file).subarray(0, 64);
  header.writeUInt32LE(1, 8);
  header.writeUInt32LE(crc32(header.subarray(0, 28)), 28);
  const writer = new ChangeWriter();
  for (const inode of state.inodes.values()) {
    const { id, entries } = inode;
    writer.change({ kind: "put", inode });
    writer.change({ kind: "merge", id, merges: inode.merges });
    for (const extent of inode.extents) writer.change({ kind: "lay", id, extent, checksum: 0 });
    for (const { name, id: entered, cookie } of entries.after(0))
      writer.change({ kind: "enter", directory: id, name, id: entered, cookie });
    if (entries.nextCookie > 1) writer.change({ kind: "cookies", directory: id, next: entries.nextCookie });
  }
  for (const change of listRareChanges(state)) writer.change(change);
  const block = (bytes: Buffer, checksum: number) => {
    const before = Buffer.alloc(8);
    before.writeUInt32LE(bytes.length, 0);
    before.writeUInt32LE(checksum, 4);
    return Buffer.concat([before, bytes]);
  };
  const sum = crc32(writer.bytes(), header.readUInt32LE(28));
  fs.writeFileSync(file, Buffer.concat([header, block(writer.bytes(), sum), block(Buffer.alloc(0), sum)]));
}

test("a checkpoint of version 1 opens as what it holds, and the next one is of this version", async (t) => {
  const directory = path.join(scratchDirectory(t), "journal");
  const journal = Journal.open(directory);
  fill(journal);
  await journal.checkpoint();
  const state = describeState(journal.state);
  rewriteAsVersion1(directory, journal.state);
  const left = copyJournal(t, directory);
  await journal.close();
  const again = Journal.open(left);
  assert.deepEqual(describeState(again.state), state);
  addFile(again, "more", "x");
  await again.checkpoint();
  const after = describeState(again.state);
  await again.close();
  t.is(fs.readFileSync(checkpointPath(left, listCheckpoints(left)[0])).readUInt32LE(8), 2);
  assert.deepEqual(await reopen(left), after);
});

test("inodes that lie in a checkpoint are read, changed, removed and counted as if they were objects", async (t) => {
  const directory = path.join(scratchDirectory(t), "journal");
  const journal = Journal.open(directory);
  const ids = Array.from({ length: 200 }, (_, index) => addFile(journal, `file ${index}`, `content of ${index}`));
  await journal.checkpoint();
  await journal.close();
  const again = Journal.open(directory);
  t.is(again.state.inodes.size, 201);
  for (const [index, id] of ids.entries()) {
    if (index % 3 === 0) change(again, () => again.apply({ kind: "drop", id }));
    if (index % 3 === 1)
      change(again, () => again.apply({ kind: "put", inode: inodeFields(id, { uid: index, size: 5 }) }));
  }
  t.is(again.state.inodes.size, 134);
  t.false(again.state.inodes.has(ids[0]));
  t.is(again.state.inodes.get(ids[0]), undefined);
  t.is(again.state.inodes.get(ids[1]), again.state.inodes.get(ids[1]));
  t.is(again.state.get(ids[4]).uid, 4);
  t.is(contentOf(again, "file 2"), "content of 2");
  t.deepEqual(
    [...again.state.inodes.ids()],
    [...again.state.inodes.values()].map(({ id }) => id),
  );
  const state = describeState(again.state);
  await again.checkpoint();
  await again.close();
  assert.deepEqual(await reopen(directory), state);
});
