/** What a process that died had written and not synced is there for the next one, and is its to sync. */
import fs from "node:fs";
import path from "node:path";
import test from "ava";
import { realDisk } from "../../../cowfs/journals/disk.ts";
import { Journal } from "../../../cowfs/journals/journal.ts";
import { addFile, copyJournal, makeDisk, newestLog, scratchDirectory } from "./scratch.ts";

test("a sync after a kill covers what the process before had left to the operating system, data and log", async (t) => {
  const journal = Journal.open(path.join(scratchDirectory(t), "journal"), undefined, { fullSegmentBytes: 4 });
  addFile(journal, "synced", "abc");
  await journal.sync();
  addFile(journal, "a", "written");
  addFile(journal, "b", "not synced");
  journal.flush();
  const killed = copyJournal(t, journal.directory);
  await journal.close();

  const synced: string[] = [];
  const sync = async (file: number) => {
    synced.push(fs.readlinkSync(`/proc/self/fd/${file}`));
    await realDisk.sync(file);
  };
  const next = Journal.open(killed, makeDisk({ sync }));
  await next.sync();
  const expected = ["segments/00000001", "segments/00000002"].map((name) => path.join(killed, name));
  t.deepEqual(synced.sort(), [newestLog(killed), ...expected], "at the same time, in any order");
  await next.sync();
  t.is(synced.length, 3);
  await next.close();
});

test("so it does where the log went on in another file before the kill", async (t) => {
  const left: string[] = [];
  const onStep = (step: string) => {
    if (step !== "switched") return;
    addFile(journal, "later", "x");
    journal.flush();
    left.push(copyJournal(t, journal.directory));
  };
  const journal = Journal.open(path.join(scratchDirectory(t), "journal"), undefined, { onStep });
  addFile(journal, "a", "written");
  await journal.checkpoint();
  await journal.close();

  const synced = new Set<string>();
  const sync = async (file: number) => {
    synced.add(path.basename(fs.readlinkSync(`/proc/self/fd/${file}`)));
    await realDisk.sync(file);
  };
  const next = Journal.open(left[0], makeDisk({ sync }));
  await next.sync();
  t.deepEqual([...synced].sort(), ["00000000", "log-0000000000000001", "log-0000000000000002"]);
  await next.close();
});
