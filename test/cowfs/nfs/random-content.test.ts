import test from "ava";
import { testSeed } from "../../random.ts";
import { changeContent } from "../random-content.ts";
import { root } from "../union/snapshot.ts";
import { Wire, type WireFileSystem } from "./wire-file-system.ts";

const wire = new Wire();
test.after.always(() => wire.terminate());

test("a file reads as it was written over NFSv3", async (t) => {
  const fileSystem = (await wire.open()) as WireFileSystem;
  const id = fileSystem.createFile(root, fileSystem.rootId, "f", {}, { kind: "guarded" });
  let commits = 0;
  const onPause = async () => {
    commits++;
    await fileSystem.sync();
  };
  await changeContent({
    seed: testSeed,
    operations: 400,
    onPause,
    fileSystem: () => fileSystem,
    id,
    content: Buffer.alloc(0),
  });
  t.true(commits > 0);
  fileSystem.close();
});
