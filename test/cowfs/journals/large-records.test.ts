/** Regression: a record that was longer than its reservation lost its end to the zeros of the next reservation. */
import path from "node:path";
import test from "ava";
import { Journal } from "../../../cowfs/journals/journal.ts";
import { addFile, change, contentOf, describeState, inodeFields, scratchDirectory } from "./scratch.ts";

test("a transaction of any size is whole after opening again, whatever came after it", async (t) => {
  const directory = path.join(scratchDirectory(t), "journal");
  const journal = Journal.open(directory);
  addFile(journal, "before", "one");
  for (const bytes of [200_000, 300_000, 3_000_000, 9_000_000]) {
    change(journal, () => {
      for (let at = 0; at < bytes; at += 4000)
        journal.apply({ kind: "put", inode: inodeFields(journal.allocateInode(), { target: "t".repeat(4000) }) });
    });
    journal.flush();
    addFile(journal, `after ${bytes}`, "two");
  }
  await journal.sync();
  const state = describeState(journal.state);
  await journal.close();
  const again = Journal.open(directory);
  t.teardown(() => again.close());
  t.deepEqual((describeState(again.state) as { inodes: unknown }).inodes, (state as { inodes: unknown }).inodes);
  t.is(contentOf(again, "after 9000000"), "two");
});
