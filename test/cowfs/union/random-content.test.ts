import test from "ava";
import { testSeed } from "../../random.ts";
import { changeContent } from "../random-content.ts";
import { directory, file } from "./layers.ts";
import { openScratch } from "./scratch.ts";

const text = "of the template ".repeat(9000);

test("a file of a template reads as it was written, over checkpoints and restarts", async (t) => {
  const s = await openScratch(t, { base: "test://base", layers: { "test://base": directory({ f: file(text) }) } });
  const id = await s.find("/f");
  let pauses = 0;
  const onPause = () => (pauses++ % 2 === 0 ? s.fs.core.journal.checkpoint() : s.reopen());
  await changeContent({
    seed: testSeed,
    operations: 400,
    onPause,
    fileSystem: () => s.fs,
    id,
    content: Buffer.from(text),
  });
  t.true(pauses > 0);
});
