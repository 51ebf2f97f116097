/** Syncs: few for many, never fewer than promised, and never one that promises what it did not cover. */
import fs from "node:fs";
import test from "ava";
import { type Disk, realDisk } from "../../../cowfs/journals/disk.ts";
import { Journal } from "../../../cowfs/journals/journal.ts";
import {
  addFile,
  change,
  contentOf,
  copyJournal,
  diskError,
  findRecordEnds,
  newestLog,
  scratchDirectory,
} from "./scratch.ts";

/** A disk whose syncs wait until they are let go: of a change with data two, of the segment and of the log. */
class GatedDisk implements Disk {
  syncs = 0;
  #waiting: PromiseWithResolvers<void>[] = [];
  #arrived = Promise.withResolvers<void>();

  write(...asked: Parameters<Disk["write"]>): number {
    return realDisk.write(...asked);
  }

  async sync(): Promise<void> {
    this.syncs++;
    const gate = Promise.withResolvers<void>();
    this.#waiting.push(gate);
    this.#arrived.resolve();
    await gate.promise;
  }

  syncNow(file: number): void {
    realDisk.syncNow(file);
  }

  cut(file: number, bytes: number): void {
    realDisk.cut(file, bytes);
  }

  /** Waits for so many syncs and ends them. */
  async release(count: number, error?: Error): Promise<void> {
    while (this.#waiting.length < count) {
      this.#arrived = Promise.withResolvers<void>();
      await this.#arrived.promise;
    }
    for (const gate of this.#waiting.splice(0, count)) error === undefined ? gate.resolve() : gate.reject(error);
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test("sixteen that come while a sync runs share the next one", async (t) => {
  const disk = new GatedDisk();
  const journal = Journal.open(scratchDirectory(t), disk);
  const promises: Promise<void>[] = [];
  let settled = 0;
  for (let index = 0; index < 17; index++) {
    addFile(journal, `file ${index}`, "x");
    promises.push(journal.sync().then(() => void settled++));
    await turn();
  }
  await disk.release(1);
  await turn();
  t.is(settled, 0);
  await disk.release(1);
  await promises[0];
  t.is(settled, 1);
  await disk.release(2);
  await Promise.all(promises);
  t.is(disk.syncs, 4);
  await journal.close();
  t.is(disk.syncs, 4);
});

test("a sync that is asked for while one runs and nothing has changed since is that one", async (t) => {
  const disk = new GatedDisk();
  const journal = Journal.open(scratchDirectory(t), disk);
  addFile(journal, "a", "x");
  const first = journal.sync();
  t.is(journal.sync(), first);
  await disk.release(2);
  await first;
  await journal.sync();
  t.is(disk.syncs, 2);
  await journal.close();
});

test("the mark covers nothing that was appended while the sync ran", async (t) => {
  const disk = new GatedDisk();
  const directory = scratchDirectory(t);
  const journal = Journal.open(directory, disk);
  addFile(journal, "a", "first");
  const sync = journal.sync();
  await turn();
  addFile(journal, "b", "second");
  await disk.release(1);
  addFile(journal, "c", "third");
  journal.flush();
  await disk.release(1);
  await sync;
  const crashed = copyJournal(t, directory);
  fs.truncateSync(newestLog(crashed), findRecordEnds(crashed)[1]);
  const again = Journal.open(crashed);
  t.deepEqual([contentOf(again, "a"), contentOf(again, "b")], ["first", undefined]);
  await again.close();
  const closing = journal.close();
  await disk.release(2);
  await closing;
});

test("a change of data alone is synced, its segment too", async (t) => {
  const disk = new GatedDisk();
  const journal = Journal.open(scratchDirectory(t), disk);
  const id = addFile(journal, "a", "x");
  const first = journal.sync();
  await disk.release(2);
  await first;
  const { address, checksum } = journal.appendData(Buffer.from("y"));
  change(journal, () => journal.apply({ kind: "lay", id, extent: { offset: 0, length: 1, address }, checksum }));
  const second = journal.sync();
  await disk.release(2);
  await second;
  t.is(disk.syncs, 4);
  await journal.close();
});

test("a sync that fails rejects for everyone who waits, for later ones too, and nobody hears of it twice", async (t) => {
  const unhandled: unknown[] = [];
  const listen = (error: unknown) => unhandled.push(error);
  process.on("unhandledRejection", listen);
  t.teardown(() => process.off("unhandledRejection", listen));
  const disk = new GatedDisk();
  const directory = scratchDirectory(t);
  const journal = Journal.open(directory, disk);
  addFile(journal, "a", "x");
  const first = journal.sync();
  await turn();
  addFile(journal, "b", "x");
  const second = journal.sync();
  const third = journal.sync();
  await disk.release(1, diskError("EIO"));
  await disk.release(1);
  await t.throwsAsync(first, { code: "journal-failed" });
  for (const promise of [second, third]) await t.throwsAsync(promise, { code: "EIO" });
  await t.throwsAsync(journal.sync(), { code: "journal-failed" });
  await journal.close();
  await turn();
  t.deepEqual(unhandled, []);
  t.is(disk.syncs, 2);
});

test("closing waits for the sync that runs, and what comes after is refused", async (t) => {
  const disk = new GatedDisk();
  const directory = scratchDirectory(t);
  const journal = Journal.open(directory, disk);
  addFile(journal, "a", "x");
  const sync = journal.sync();
  await turn();
  addFile(journal, "b", "x");
  const closing = journal.close();
  await disk.release(2);
  await disk.release(2);
  await Promise.all([sync, closing]);
  t.throws(() => addFile(journal, "c", "x"), { code: "EIO" });
  const again = Journal.open(directory);
  t.is(contentOf(again, "b"), "x");
  await again.close();
});
