/** After a round of checkpoints what did not change since is columns again (I3 in inodes.ts), and shows the same. */
import path from "node:path";
import test from "ava";
import { type FoldTask, foldLog } from "../../../cowfs/journals/fold.ts";
import { Journal } from "../../../cowfs/journals/journal.ts";
import { addFile, change, contentOf, describeState, inodeFields, rootFields, scratchDirectory } from "./scratch.ts";

for (const where of ["in a thread", "in the same thread"])
  test(`what was folded ${where} is no object any more, what changed meanwhile still is, and all shows the same`, async (t) => {
    const directory = path.join(scratchDirectory(t), "journal");
    const limits = where === "in a thread" ? {} : { fold: async (task: FoldTask) => foldLog(task) };
    let journal: Journal;
    const onStep = (step: string) => {
      if (step !== "folded") return;
      // While the round runs: one is made, one changed, one goes, one is looked at.
      addFile(journal, "made", "made");
      const { entries } = journal.state.get(rootFields.id);
      const [changed, gone] = ["file 1", "file 2"].map((name) => entries.get(name)!.id);
      change(journal, () => {
        journal.apply({ kind: "put", inode: inodeFields(changed, { size: 3 }) });
        journal.apply({ kind: "remove", directory: rootFields.id, name: "file 2" });
        journal.apply({ kind: "drop", id: gone });
      });
      t.is(journal.state.get(entries.get("file 3")!.id).size, "content 3".length);
    };
    journal = Journal.open(directory, undefined, { ...limits, onStep });
    for (let index = 0; index < 500; index++) addFile(journal, `file ${index}`, `content ${index}`);
    const [attributed, exclusive] = [journal.allocateInode(), journal.allocateInode()];
    change(journal, () => {
      journal.apply({ kind: "put", inode: inodeFields(attributed) });
      journal.apply({ kind: "attribute", id: attributed, name: "user.a", value: Buffer.from("value") });
      journal.apply({ kind: "put", inode: inodeFields(exclusive, { verifier: 7n }) });
      for (const [name, id] of Object.entries({ attributed, exclusive }))
        journal.apply({ kind: "enter", directory: rootFields.id, name, id, cookie: 10_000 + id });
    });
    t.is(journal.state.inodes.objectCount, 503);
    await journal.checkpoint();
    // The root, the one that was made, the one that was changed, and the two that are not wholly in columns.
    t.is(journal.state.inodes.objectCount, 5);
    t.is(journal.state.inodes.size, 503);
    t.deepEqual(
      ["file 0", "file 2", "file 3", "made"].map((name) => contentOf(journal, name)),
      ["content 0", undefined, "content 3", "made"],
    );
    t.is(journal.state.get(exclusive).verifier, 7n);
    const shown = describeState(journal.state);
    await journal.close();
    const again = Journal.open(directory);
    t.deepEqual(describeState(again.state), shown);
    await again.close();
  });

test("a directory of many names stays an object: to make it anew takes long", async (t) => {
  const journal = Journal.open(path.join(scratchDirectory(t), "journal"));
  for (let index = 0; index < 5000; index++) addFile(journal, `file ${index}`, "");
  await journal.checkpoint();
  await journal.checkpoint();
  t.is(journal.state.inodes.objectCount, 1);
  const root = journal.state.get(rootFields.id);
  await journal.checkpoint();
  t.is(journal.state.get(rootFields.id), root);
  await journal.close();
});
