/** What a process that died had written and not synced is there for the next one, which makes it stable before it serves. */
import fs from "node:fs";
import path from "node:path";
import test from "ava";
import { Journal } from "../../../cowfs/journals/journal.ts";
import { addFile, copyJournal, newestLog, scratchDirectory } from "./scratch.ts";

/** Opens a journal; says which files of its log and segments that synced. */
function openAndListSyncs(directory: string): { journal: Journal; synced: string[] } {
  const { fdatasyncSync } = fs;
  const synced = new Set<string>();
  fs.fdatasyncSync = (file) => {
    synced.add(path.relative(directory, fs.readlinkSync(`/proc/self/fd/${file}`)));
    fdatasyncSync(file);
  };
  try {
    const journal = Journal.open(directory);
    return { journal, synced: [...synced].filter((name) => /^(log-|segments)/.test(name)).sort() };
  } finally {
    fs.fdatasyncSync = fdatasyncSync;
  }
}

test.serial(
  "opening after a kill syncs what the process before had left to the operating system, data and log",
  async (t) => {
    const journal = Journal.open(path.join(scratchDirectory(t), "journal"), undefined, { fullSegmentBytes: 4 });
    addFile(journal, "synced", "abc");
    await journal.sync();
    addFile(journal, "a", "written");
    addFile(journal, "b", "not synced");
    journal.flush();
    const killed = copyJournal(t, journal.directory);
    await journal.close();

    const next = openAndListSyncs(killed);
    t.deepEqual(next.synced, [path.basename(newestLog(killed)), "segments/00000001", "segments/00000002"]);
    // Marked, too: the next opener takes nothing of it for a tail that nobody was promised.
    const again = openAndListSyncs(copyJournal(t, killed));
    t.deepEqual(again.synced, []);
    await again.journal.close();
    await next.journal.close();
  },
);

test.serial("so it does where the log went on in another file before the kill", async (t) => {
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

  const next = openAndListSyncs(left[0]);
  t.deepEqual(next.synced, ["log-0000000000000001", "log-0000000000000002", "segments/00000000"]);
  await next.journal.close();
});
