/** A disk that is full or broken: what is refused changed nothing, what was answered stays, and nothing is promised twice. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import test from "ava";
import { type Disk, realDisk } from "../../../cowfs/journals/disk.ts";
import { Journal } from "../../../cowfs/journals/journal.ts";
import { addFile, change, contentOf, copyJournal, describeState, diskError, scratchDirectory } from "./scratch.ts";

/** The real disk until it is told to refuse. */
class FailingDisk implements Disk {
  refuseWrites: string | undefined;
  refuseSyncs: string | undefined;
  /** Takes no more than so many bytes at a time. */
  most = Number.POSITIVE_INFINITY;

  write(...[file, bytes, start, length, position]: Parameters<Disk["write"]>): number {
    if (this.refuseWrites !== undefined) throw diskError(this.refuseWrites);
    return realDisk.write(file, bytes, start, Math.min(length, this.most), position);
  }

  async sync(file: number): Promise<void> {
    if (this.refuseSyncs !== undefined) throw diskError(this.refuseSyncs);
    await realDisk.sync(file);
  }

  syncNow(file: number): void {
    if (this.refuseSyncs !== undefined) throw diskError(this.refuseSyncs);
    realDisk.syncNow(file);
  }

  cut(file: number, bytes: number): void {
    realDisk.cut(file, bytes);
  }
}

for (const [refusal, code] of [
  ["ENOSPC", "ENOSPC"],
  ["EIO", "EIO"],
  ["EROFS", "EIO"],
] as const) {
  test(`data that the disk refuses with ${refusal} is answered ${code} and changes nothing`, async (t) => {
    const directory = scratchDirectory(t);
    const disk = new FailingDisk();
    const journal = Journal.open(directory, disk);
    addFile(journal, "before", "abc");
    const before = describeState(journal.state) as { next: unknown };
    disk.refuseWrites = refusal;
    t.throws(() => journal.appendData(Buffer.from("refused")), { code });
    assert.deepEqual(describeState(journal.state), before);
    disk.refuseWrites = undefined;
    addFile(journal, "after", "def");
    await journal.close();
    const again = Journal.open(directory);
    t.deepEqual([contentOf(again, "before"), contentOf(again, "after")], ["abc", "def"]);
    await again.close();
  });

  test(`a log that cannot grow for ${refusal} refuses transactions with ${code} before they begin`, async (t) => {
    const directory = scratchDirectory(t);
    const disk = new FailingDisk();
    const journal = Journal.open(directory, disk);
    let begun = false;
    disk.refuseWrites = refusal;
    t.throws(() => change(journal, () => (begun = true)), { code });
    t.false(begun);
    disk.refuseWrites = undefined;
    addFile(journal, "later", "abc");
    await journal.close();
  });
}

test("a disk that takes little at a time gets everything all the same", async (t) => {
  const directory = scratchDirectory(t);
  const disk = new FailingDisk();
  disk.most = 1000;
  const journal = Journal.open(directory, disk);
  const content = "0123456789".repeat(5000);
  addFile(journal, "a", content);
  await journal.close();
  const again = Journal.open(directory);
  t.is(contentOf(again, "a"), content);
  await again.close();
});

test("after a flush that failed nothing is answered, and opening again shows what was flushed", async (t) => {
  const directory = scratchDirectory(t);
  const disk = new FailingDisk();
  const journal = Journal.open(directory, disk);
  addFile(journal, "flushed", "abc");
  journal.flush();
  const { writeVerifier } = journal;
  addFile(journal, "lost", "def");
  disk.refuseWrites = "EIO";
  t.throws(() => journal.flush(), { code: "journal-failed" });
  disk.refuseWrites = undefined;
  t.throws(() => journal.flush(), { code: "EIO" });
  t.throws(() => journal.throwIfFailed(), { code: "EIO" });
  t.throws(() => addFile(journal, "more", ""), { code: "EIO" });
  await t.throwsAsync(journal.sync(), { code: "journal-failed" });
  await journal.close();
  const again = Journal.open(directory);
  t.deepEqual([contentOf(again, "flushed"), contentOf(again, "lost")], ["abc", undefined]);
  t.deepEqual(again.writeVerifier, writeVerifier);
  await again.close();
});

test("after a sync that failed only what was synced before counts, under a new write verifier", async (t) => {
  const directory = scratchDirectory(t);
  const disk = new FailingDisk();
  const journal = Journal.open(directory, disk);
  addFile(journal, "synced", "abc");
  await journal.sync();
  const { writeVerifier, lineage } = journal;
  const number = addFile(journal, "unsure", "def");
  disk.refuseSyncs = "EIO";
  await t.throwsAsync(journal.sync(), { code: "journal-failed" });
  await journal.close();
  const again = Journal.open(directory);
  t.deepEqual([contentOf(again, "synced"), contentOf(again, "unsure")], ["abc", undefined]);
  t.notDeepEqual(again.writeVerifier, writeVerifier);
  t.deepEqual(again.lineage, lineage);
  t.true(addFile(again, "new", "ghi") > number);
  const left = copyJournal(t, directory);
  await again.close();
  const third = Journal.open(directory);
  t.deepEqual(third.writeVerifier, again.writeVerifier);
  t.is(contentOf(third, "new"), "ghi");
  await third.close();
  const crashed = Journal.open(left);
  t.deepEqual(crashed.writeVerifier, again.writeVerifier);
  await crashed.close();
});

test("where opening cannot make stable what a killed process wrote, it is refused, and the next opening shows and syncs all of it", async (t) => {
  const journal = Journal.open(scratchDirectory(t));
  addFile(journal, "synced", "abc");
  await journal.sync();
  addFile(journal, "written", "def");
  journal.flush();
  const killed = copyJournal(t, journal.directory);
  await journal.close();
  const disk = new FailingDisk();
  disk.refuseSyncs = "EIO";
  for (let time = 0; time < 2; time++) t.throws(() => Journal.open(killed, disk), { code: "journal-unusable" });
  disk.refuseSyncs = undefined;
  const again = Journal.open(killed, disk);
  t.deepEqual([contentOf(again, "synced"), contentOf(again, "written")], ["abc", "def"]);
  // Marked: a sync that fails from here on takes back nothing of it.
  addFile(again, "later", "ghi");
  disk.refuseSyncs = "EIO";
  await t.throwsAsync(again.sync(), { code: "journal-failed" });
  await again.close();
  const last = Journal.open(killed);
  t.deepEqual([contentOf(last, "written"), contentOf(last, "later")], ["def", undefined]);
  await last.close();
});

test("a journal that cannot be opened for the disk says so", async (t) => {
  const file = path.join(scratchDirectory(t), "a-file");
  fs.writeFileSync(file, "");
  const error = t.throws(() => Journal.open(path.join(file, "journal")), { code: "journal-unusable" });
  t.true(error!.message.includes(file));
});

test("on a file system that is full for real, transactions end with ENOSPC and everything before them stays", async (t) => {
  const mountPoint = scratchDirectory(t);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=4m", "tmpfs", mountPoint], { stdio: "ignore" });
  } catch {
    t.log("needs root: not run");
    t.pass();
    return;
  }
  t.teardown(() => execFileSync("umount", [mountPoint]));
  const directory = path.join(mountPoint, "journal");
  const journal = Journal.open(directory);
  let made = 0;
  const refused = t.throws(() => {
    for (; made < 1000; made++) addFile(journal, `file ${made}`, "x".repeat(10_000));
  });
  t.is((refused as NodeJS.ErrnoException).code, "ENOSPC");
  t.true(made > 100);
  await journal.close();
  const again = Journal.open(directory);
  t.is(again.state.inodes.size, made + 1);
  t.is(contentOf(again, `file ${made - 1}`)?.length, 10_000);
  await again.close();
});
