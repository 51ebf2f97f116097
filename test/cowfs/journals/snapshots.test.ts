/** Pins and forks: what was pinned is there whatever is done later, to the journal, to its forks or to the disk. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import test from "ava";
import { defaultLimits } from "../../../cowfs/journals/checkpoint-limits.ts";
import type { FoldTask } from "../../../cowfs/journals/fold.ts";
import { Journal } from "../../../cowfs/journals/journal.ts";
import { listLogFiles } from "../../../cowfs/journals/log-file.ts";
import { listPinFiles } from "../../../cowfs/journals/pins.ts";
import type { JournalState } from "../../../cowfs/journals/state.ts";
import fc from "../../property.ts";
import {
  addFile,
  change,
  contentOf,
  copyJournal,
  describeState,
  findRecordEnds,
  newestLog,
  rootFields,
  scratchDirectory,
} from "./scratch.ts";

const limits = { fullSegmentBytes: 4096 };

/** What a journal shows: all but where the bytes lie. */
function show(journal: Journal): Record<string, string> {
  const entries = journal.state.inodes.get(rootFields.id)?.entries.after(0) ?? [];
  return Object.fromEntries([...entries].map(({ name }) => [name, contentOf(journal, name)!]));
}

function overwrite(journal: Journal, id: number, text: string): void {
  const { address, checksum } = journal.appendData(Buffer.from(text));
  const extent = { offset: 0, length: text.length, address };
  change(journal, () => journal.apply({ kind: "lay", id, extent, checksum }));
}

function remove(journal: Journal, name: string): void {
  const { id } = journal.state.get(rootFields.id).entries.get(name)!;
  change(journal, () => {
    journal.apply({ kind: "remove", directory: rootFields.id, name });
    journal.apply({ kind: "drop", id });
  });
}

/** A file that is overwritten and deleted until nothing of its first segments is live. */
async function churn(journal: Journal): Promise<void> {
  for (let index = 0; index < 20; index++) {
    addFile(journal, "passing", "x".repeat(1000));
    remove(journal, "passing");
  }
  await journal.checkpoint();
}

async function openFork(directory: string): Promise<[shown: Record<string, string>, state: unknown]> {
  const fork = Journal.open(directory, undefined, limits);
  const result: [Record<string, string>, unknown] = [show(fork), describeState(fork.state)];
  await fork.close();
  return result;
}

for (const when of ["before", "after"] as const)
  test(`a fork made ${when} the log is folded shows what the pin showed, and each goes on without the other`, async (t) => {
    const scratch = scratchDirectory(t);
    const directory = path.join(scratch, "journal");
    const journal = Journal.open(directory, undefined, limits);
    const a = addFile(journal, "a", "first");
    addFile(journal, "b", "second".repeat(300));
    addFile(journal, "c", "third");
    const before = show(journal);
    const state = describeState(journal.state);
    const { name, sequence, heldBytes } = await journal.snapshots.take("one");
    t.deepEqual([name, sequence, heldBytes], ["one", 3, 0]);
    overwrite(journal, a, "FIRST");
    remove(journal, "b");
    addFile(journal, "d", "fourth");
    if (when === "after") for (let round = 0; round < 3; round++) await churn(journal);
    const after = show(journal);
    const fork = path.join(scratch, "fork");
    await journal.snapshots.fork("one", fork, "same");
    const opened = Journal.open(fork, undefined, limits);
    t.deepEqual(show(opened), before);
    assert.deepEqual(describeState(opened.state), state);
    t.is(opened.state.replies.get("key of a")?.toString(), "reply of a");
    t.deepEqual(opened.snapshots.list(), []);
    for (const secret of ["lineage", "handleKey", "writeVerifier"] as const)
      t.deepEqual(opened[secret], journal[secret]);
    // Each writes and folds on its own.
    for (let round = 0; round < 3; round++) await churn(opened);
    addFile(opened, "of the fork", "only there");
    t.deepEqual(show(journal), after);
    await journal.close();
    fs.rmSync(directory, { recursive: true });
    t.deepEqual(show(opened), { ...before, "of the fork": "only there" });
    await opened.close();
    t.deepEqual((await openFork(fork))[0], { ...before, "of the fork": "only there" });
  });

for (const [what, folds, write] of [
  ["a short log goes along with a fork", false, (journal: Journal) => void addFile(journal, "b", "second")],
  ["a log of several files goes along with a fork", false, (journal: Journal) => void addFile(journal, "b", "second")],
  [
    "a long log is folded for a fork",
    true,
    (journal: Journal) => {
      for (let index = 0; index < 20; index++)
        change(journal, () => journal.apply({ kind: "reply", key: `key ${index}`, bytes: Buffer.alloc(60_000) }));
    },
  ],
  [
    "a log that points at what the pin does not keep is folded for a fork",
    true,
    (journal: Journal) => {
      addFile(journal, "passing", "x".repeat(4000));
      remove(journal, "passing");
    },
  ],
] as const)
  test(what, async (t) => {
    const scratch = scratchDirectory(t);
    const directory = path.join(scratch, "journal");
    const first = Journal.open(directory, undefined, limits);
    addFile(first, "a", "first".repeat(300));
    await first.checkpoint();
    addFile(first, "c", "third");
    // Opened again, it goes on in another epoch.
    await first.close();
    let fails = what.includes("several files");
    const fold = (task: FoldTask) => (fails ? Promise.reject(new Error("no thread")) : defaultLimits.fold(task));
    const journal = Journal.open(directory, undefined, { ...limits, fold });
    // A round that failed leaves the log in two files.
    if (fails) await t.throwsAsync(journal.checkpoint());
    fails = false;
    write(journal);
    const before = show(journal);
    const state = describeState(journal.state);
    await journal.snapshots.take("one");
    remove(journal, "a");
    await journal.snapshots.fork("one", path.join(scratch, "fork"), "same");
    t.is(listPinFiles(directory).length, folds ? 1 : 0);
    t.is(listLogFiles(path.join(scratch, "fork")).length, what.includes("several files") ? 2 : 1);
    await churn(journal);
    await journal.close();
    fs.rmSync(directory, { recursive: true });
    const opened = await openFork(path.join(scratch, "fork"));
    t.deepEqual(opened[0], before);
    assert.deepEqual(opened[1], state);
  });

test("a journal outlives its forks, and a fork of a fork outlives both", async (t) => {
  const scratch = scratchDirectory(t);
  const directory = path.join(scratch, "journal");
  const journal = Journal.open(directory, undefined, limits);
  addFile(journal, "a", "first".repeat(500));
  await journal.snapshots.take("one");
  await journal.snapshots.fork("one", path.join(scratch, "fork"), "same");
  const fork = Journal.open(path.join(scratch, "fork"), undefined, limits);
  addFile(fork, "b", "second".repeat(500));
  await fork.snapshots.take("two");
  await fork.snapshots.fork("two", path.join(scratch, "fork of fork"), "new");
  await churn(fork);
  await fork.close();
  fs.rmSync(path.join(scratch, "fork"), { recursive: true });
  t.deepEqual(show(journal), { a: "first".repeat(500) });
  await journal.close();
  fs.rmSync(directory, { recursive: true });
  t.deepEqual((await openFork(path.join(scratch, "fork of fork")))[0], {
    a: "first".repeat(500),
    b: "second".repeat(500),
  });
});

test("a fork with a lineage of its own has the files, and nothing by which a client of the other could be answered", async (t) => {
  const scratch = scratchDirectory(t);
  const journal = Journal.open(path.join(scratch, "journal"));
  addFile(journal, "a", "first");
  await journal.snapshots.take("one");
  await journal.snapshots.fork("one", path.join(scratch, "fork"), "new");
  const fork = Journal.open(path.join(scratch, "fork"));
  t.deepEqual(show(fork), { a: "first" });
  t.is(fork.state.replies.size, 0);
  for (const secret of ["lineage", "handleKey", "writeVerifier"] as const)
    t.notDeepEqual(fork[secret], journal[secret]);
  await fork.close();
  await journal.close();
});

test("what only a pin kept goes after it is dropped, and not before", async (t) => {
  const directory = path.join(scratchDirectory(t), "journal");
  const journal = Journal.open(directory, undefined, limits);
  const id = addFile(journal, "a", "x".repeat(3000));
  const segments = () => fs.readdirSync(path.join(directory, "segments"));
  await journal.snapshots.take("one");
  overwrite(journal, id, "y".repeat(3000));
  await journal.snapshots.take("two");
  overwrite(journal, id, "z".repeat(3000));
  await churn(journal);
  t.true(segments().includes("00000000"));
  t.deepEqual(
    journal.snapshots.list().map(({ name, heldBytes }) => [name, heldBytes]),
    [
      ["one", 3000],
      ["two", 3000],
    ],
  );
  t.is(listPinFiles(directory).length, 2);
  await journal.snapshots.drop("one");
  await churn(journal);
  t.false(segments().includes("00000000"));
  t.is(listPinFiles(directory).length, 1);
  await journal.close();
  const again = Journal.open(directory, undefined, limits);
  t.deepEqual(
    again.snapshots.list().map(({ name }) => name),
    ["two"],
  );
  await again.snapshots.drop("two");
  await churn(again);
  await churn(again);
  t.is(listPinFiles(directory).length, 0);
  t.true(segments().length <= 3);
  t.deepEqual(show(again), { a: "z".repeat(3000) });
  await again.close();
});

test("pins are refused where their name is taken or malformed, or where there are none of it", async (t) => {
  const scratch = scratchDirectory(t);
  const journal = Journal.open(path.join(scratch, "journal"));
  addFile(journal, "a", "first");
  await journal.snapshots.take("one");
  await t.throwsAsync(journal.snapshots.take("one"), { code: "pin-exists" });
  for (const name of ["", "../one", ".one", "a/b", "x".repeat(129)])
    await t.throwsAsync(journal.snapshots.take(name), { code: "pin-name-invalid" });
  await t.throwsAsync(journal.snapshots.drop("two"), { code: "pin-unknown" });
  await t.throwsAsync(journal.snapshots.fork("two", path.join(scratch, "fork"), "new"), { code: "pin-unknown" });
  const making = journal.snapshots.fork("one", path.join(scratch, "fork"), "new");
  await t.throwsAsync(journal.snapshots.drop("one"), { code: "pin-busy" });
  await making;
  // Asked again, it is there already; as something else it is not.
  await journal.snapshots.fork("one", path.join(scratch, "fork"), "new");
  await t.throwsAsync(journal.snapshots.fork("one", path.join(scratch, "fork"), "same"), { code: "journal-exists" });
  await t.throwsAsync(journal.snapshots.fork("one", scratch, "same"), { code: "journal-exists" });
  await journal.snapshots.drop("one");
  await journal.close();
});

test("a crash at any step of a round loses no pin, and a dropped one does not come back", async (t) => {
  const scratch = scratchDirectory(t);
  const directory = path.join(scratch, "journal");
  const left: { step: string; copy: string; pins: string[] }[] = [];
  const shown = new Map<string, Record<string, string>>();
  const onStep = (step: string) => {
    journal.flush();
    left.push({ step, copy: copyJournal(t, directory), pins: journal.snapshots.list().map(({ name }) => name) });
  };
  const journal = Journal.open(directory, undefined, { ...limits, onStep });
  for (let round = 0; round < 2; round++) {
    for (const part of ["a", "b"]) {
      addFile(journal, `${part}${round}`, `${part} of ${round} `.repeat(100));
      shown.set(`${part}${round}`, show(journal));
      await journal.snapshots.take(`${part}${round}`);
    }
    if (round > 0) {
      remove(journal, `a${round - 1}`);
      await journal.snapshots.drop(`b${round - 1}`);
    }
    await churn(journal);
  }
  await journal.close();
  t.true(left.length >= 16);
  for (const { step, copy, pins } of left) {
    const again = Journal.open(copy, undefined, limits);
    assert.deepEqual(
      again.snapshots.list().map(({ name }) => name),
      pins,
      step,
    );
    await again.checkpoint();
    for (const pin of pins) {
      await again.snapshots.fork(pin, `${copy}-${pin}`, "same");
      assert.deepEqual((await openFork(`${copy}-${pin}`))[0], shown.get(pin), `${step}, pin ${pin}`);
    }
    t.is(listPinFiles(copy).length, pins.length, step);
    await again.close();
  }
});

test("a log that is cut anywhere has the pins that are whole in it, each with what it showed", async (t) => {
  const scratch = scratchDirectory(t);
  const directory = path.join(scratch, "journal");
  const journal = Journal.open(directory, undefined, limits);
  const shown: Record<string, string>[] = [];
  for (const name of ["a", "b"]) {
    addFile(journal, name, name.repeat(700));
    shown.push(show(journal));
    await journal.snapshots.take(name);
    remove(journal, name);
  }
  journal.flush();
  const left = copyJournal(t, directory);
  await journal.close();
  // As if nothing had been synced: any end of the log is a crash.
  fs.writeFileSync(path.join(left, "mark"), Buffer.alloc(24));
  for (const [records, end] of findRecordEnds(left).entries())
    for (const inside of [0, 7]) {
      const cut = copyJournal(t, left);
      fs.truncateSync(newestLog(cut), end + inside);
      const again = Journal.open(cut, undefined, limits);
      const pins = again.snapshots.list().map(({ name }) => name);
      t.deepEqual(pins, ["a", "b"].slice(0, Math.floor((records + 1) / 3)), `after record ${records}`);
      for (const [index, pin] of pins.entries()) {
        await again.snapshots.fork(pin, `${cut}-${pin}`, "same");
        assert.deepEqual((await openFork(`${cut}-${pin}`))[0], shown[index]);
      }
      await again.close();
    }
});

test("a fork that was cut off leaves nothing under its name, and is made the next time", async (t) => {
  const scratch = scratchDirectory(t);
  const journal = Journal.open(path.join(scratch, "journal"), undefined, limits);
  addFile(journal, "a", "first");
  await journal.snapshots.take("one");
  const fork = path.join(scratch, "fork");
  fs.mkdirSync(path.join(`${fork}.fork`, "segments"), { recursive: true });
  fs.writeFileSync(path.join(`${fork}.fork`, "segments", "00000000"), "half");
  await journal.snapshots.fork("one", fork, "same");
  t.deepEqual((await openFork(fork))[0], { a: "first" });
  t.false(fs.existsSync(`${fork}.fork`));
  await t.throwsAsync(journal.snapshots.fork("one", path.join(scratch, "not there", "fork"), "same"), {
    code: "ENOENT",
  });
  await journal.close();
});

test("a pin whose file is gone is named when it is forked from, and the journal goes on", async (t) => {
  const scratch = scratchDirectory(t);
  const directory = path.join(scratch, "journal");
  const journal = Journal.open(directory, undefined, limits);
  addFile(journal, "a", "first");
  await journal.snapshots.take("one");
  await journal.checkpoint();
  const [{ path: file }] = listPinFiles(directory);
  fs.rmSync(file);
  const error = await t.throwsAsync(journal.snapshots.fork("one", path.join(scratch, "fork"), "same"), {
    code: "journal-damaged",
  });
  t.true(error!.message.includes(file));
  t.false(fs.existsSync(path.join(scratch, "fork")));
  t.deepEqual(show(journal), { a: "first" });
  await journal.close();
});

type Step =
  | { do: "write"; file: number; text: string }
  | { do: "remove"; file: number }
  | { do: "pin" | "drop" | "fork"; pin: number }
  | { do: "round" | "reopen" };

const plain = { noNullPrototype: true };
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record(
      { do: fc.constant("write" as const), file: fc.nat(5), text: fc.string({ minLength: 1, maxLength: 900 }) },
      plain,
    ),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("remove" as const), file: fc.nat(5) }, plain) },
  {
    weight: 4,
    arbitrary: fc.record(
      { do: fc.constantFrom("pin" as const, "drop" as const, "fork" as const), pin: fc.nat(3) },
      plain,
    ),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom("round" as const, "reopen" as const) }, plain) },
);

test("any sequence of writes, pins, drops, rounds, forks and re-openings agrees with a model", async (t) => {
  const scratch = scratchDirectory(t);
  let runs = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      const directory = path.join(scratch, `journal ${runs++}`);
      let journal = Journal.open(directory, undefined, { fullSegmentBytes: 1000 });
      const files = new Map<string, string>();
      const pins = new Map<string, Record<string, string>>();
      const plainly = () => Object.fromEntries([...files].sort());
      const shown = (of: Journal) => Object.fromEntries(Object.entries(show(of)).sort());
      for (const [index, each] of steps.entries()) {
        if (each.do === "write") {
          const name = `file ${each.file}`;
          if (files.has(name)) remove(journal, name);
          addFile(journal, name, Buffer.from(each.text).toString("latin1"));
          files.set(name, Buffer.from(each.text).toString("latin1"));
        } else if (each.do === "remove") {
          if (files.delete(`file ${each.file}`)) remove(journal, `file ${each.file}`);
        } else if (each.do === "pin") {
          if (pins.has(`p${each.pin}`)) continue;
          await journal.snapshots.take(`p${each.pin}`);
          pins.set(`p${each.pin}`, plainly());
        } else if (each.do === "drop") {
          if (pins.delete(`p${each.pin}`)) await journal.snapshots.drop(`p${each.pin}`);
        } else if (each.do === "fork") {
          const expected = pins.get(`p${each.pin}`);
          if (expected === undefined) continue;
          const fork = path.join(scratch, `fork ${runs} ${index}`);
          await journal.snapshots.fork(`p${each.pin}`, fork, "same");
          const opened = Journal.open(fork);
          assert.deepEqual(shown(opened), expected);
          await opened.close();
          fs.rmSync(fork, { recursive: true });
        } else if (each.do === "round") await journal.checkpoint();
        else {
          await journal.close();
          journal = Journal.open(directory, undefined, { fullSegmentBytes: 1000 });
        }
        assert.deepEqual(shown(journal), plainly());
        assertUse(journal.state);
      }
      await journal.close();
      fs.rmSync(directory, { recursive: true });
    }),
    { numRuns: 12 },
  );
  t.pass();
});

/** What is counted as changes come is what counting afresh gives. */
function assertUse({ use, pins, inodes }: JournalState): void {
  const pinned = new Map(
    [...pins.values()].flatMap(({ segments }) => segments.map(({ segment, bytes }) => [segment, bytes])),
  );
  assert.equal(
    use.pinnedBytes,
    [...pinned.values()].reduce((sum, bytes) => sum + bytes, 0),
  );
  const live = use.liveSegments().reduce((sum, segment) => sum + (pinned.has(segment) ? 0 : use.live(segment)), 0);
  assert.equal(use.unpinnedTotal, live);
  const extents = [...inodes.values()].flatMap((inode) => inode.extents);
  assert.equal(
    use.total,
    extents.reduce((sum, { length }) => sum + length, 0),
  );
}

test("a fork that is opened, killed and opened again stays what it was", async (t) => {
  const scratch = scratchDirectory(t);
  const journal = Journal.open(path.join(scratch, "journal"), undefined, limits);
  addFile(journal, "a", "first".repeat(100));
  await journal.snapshots.take("one");
  const fork = path.join(scratch, "fork");
  await journal.snapshots.fork("one", fork, "same");
  await journal.close();
  t.is(listLogFiles(fork).length, 1);
  const opened = Journal.open(fork, undefined, limits);
  addFile(opened, "b", "second");
  opened.flush();
  const left = copyJournal(t, fork);
  await opened.close();
  t.deepEqual((await openFork(left))[0], { a: "first".repeat(100), b: "second" });
  // Its first record is promised: without it the log is damaged, not another journal.
  const cut = copyJournal(t, left);
  fs.truncateSync(newestLog(cut), 70);
  t.throws(() => Journal.open(cut), { code: "journal-damaged" });
});
