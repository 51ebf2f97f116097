/** What the crash tests have found, each on its own: every power loss within a short history. */
import fs from "node:fs";
import path from "node:path";
import test, { type ExecutionContext } from "ava";
import { type FoldTask, foldLog } from "../../../cowfs/journals/fold.ts";
import { Journal } from "../../../cowfs/journals/journal.ts";
import { createRandom } from "../../random.ts";
import { makeFastDirectory } from "../fast-directory.ts";
import { addFile, contentOf } from "../journals/scratch.ts";
import { afterKill, afterPowerLoss, readImage, writeImage } from "./disk-image.ts";
import { type DiskCall, Recording } from "./recorder.ts";

const limits = { fold: async (task: FoldTask) => foldLog(task) };

/** An empty disk, of which everything is recorded from here on. */
function record(t: ExecutionContext, options?: ConstructorParameters<typeof Recording>[2]) {
  const home = makeFastDirectory();
  t.teardown(() => fs.rmSync(home, { recursive: true }));
  const disk = path.join(home, "disk");
  fs.mkdirSync(disk);
  const recording = new Recording(disk, { start: readImage(disk), steps: [] }, options);
  t.teardown(() => recording.stop());
  return { home, disk, recording };
}

test.serial(
  "checkpoints with nothing between them do not put a log whose header may be lost in the place of one that is safe",
  async (t) => {
    const { home, disk, recording } = record(t);
    const journal = Journal.open(path.join(disk, "journal"), undefined, limits);
    addFile(journal, "a", "content");
    await journal.sync();
    const promised = recording.steps.length;
    await journal.checkpoint();
    await journal.checkpoint();
    await journal.close();
    recording.stop();
    for (let before = promised; before <= recording.steps.length; before++)
      await expectContent(t, home, recording, before, 4);
  },
);

test.serial(
  "a segment whose name a process that died had not synced is made stable by the next one that appends to it",
  async (t) => {
    const home = makeFastDirectory();
    t.teardown(() => fs.rmSync(home, { recursive: true }));
    const [first, second] = ["first", "second"].map((name) => path.join(home, name));
    fs.mkdirSync(first);
    const killed = new Recording(first, { start: readImage(first), steps: [] });
    t.teardown(() => killed.stop());
    const dying = Journal.open(path.join(first, "journal"), undefined, limits);
    // It dies between the bytes and their record.
    dying.appendData(Buffer.from("lost"));
    const steps = [...killed.steps];
    killed.stop();
    await dying.close();
    writeImage(afterKill(killed.start, steps, steps.length), second);
    const recording = new Recording(second, { start: killed.start, steps });
    t.teardown(() => recording.stop());
    const journal = Journal.open(path.join(second, "journal"), undefined, limits);
    addFile(journal, "a", "content");
    await journal.sync();
    const promised = recording.steps.length;
    recording.stop();
    await journal.close();
    await expectContent(t, home, recording, promised, 20);
  },
);

test.serial("a journal whose name could not be made stable is opened again, and then its name is", async (t) => {
  let refusals = 0;
  const onCall = (call: DiskCall) => (call.kind === "sync" && refusals++ === 0 ? "EIO" : undefined);
  const { home, disk, recording } = record(t, { onCall });
  const directory = path.join(disk, "journal");
  t.throws(() => Journal.open(directory, undefined, limits), { code: "journal-unusable" });
  const journal = Journal.open(directory, undefined, limits);
  addFile(journal, "a", "content");
  await journal.sync();
  const promised = recording.steps.length;
  recording.stop();
  await journal.close();
  await expectContent(t, home, recording, promised, 20);
});

test.serial("a pin that a fold passes is there wherever a power loss leaves the name of its checkpoint", async (t) => {
  const { home, disk, recording } = record(t);
  const journal = Journal.open(path.join(disk, "journal"), undefined, limits);
  addFile(journal, "a", "content");
  await journal.snapshots.take("kept");
  addFile(journal, "b", "more");
  await journal.checkpoint();
  const { start } = recording;
  const steps = [...recording.steps];
  recording.stop();
  await journal.close();
  const named = steps.findLastIndex((step) => step.kind === "rename" && step.toName.startsWith("checkpoint-"));
  t.true(named > 0);
  const random = createRandom(1);
  const left = path.join(home, "left");
  const fork = path.join(home, "fork");
  for (let again = 0; again < 25; again++) {
    writeImage(afterPowerLoss(start, steps, named + 1, random), left);
    const opened = Journal.open(path.join(left, "journal"), undefined, limits);
    await opened.snapshots.fork("kept", fork, "same");
    const forked = Journal.open(fork);
    t.is(contentOf(forked, "a"), "content");
    await forked.close();
    await opened.close();
    for (const directory of [left, fork]) fs.rmSync(directory, { recursive: true });
  }
});

/** Whatever a power loss after so many steps leaves, of so many tries, the file is there. */
async function expectContent(t: ExecutionContext, home: string, recording: Recording, before: number, tries: number) {
  const random = createRandom(before);
  for (let again = 0; again < tries; again++) {
    const left = path.join(home, "left");
    writeImage(afterPowerLoss(recording.start, recording.steps, before, random), left);
    const opened = Journal.open(path.join(left, "journal"));
    t.is(contentOf(opened, "a"), "content", `after step ${before}`);
    await opened.close();
    fs.rmSync(left, { recursive: true });
  }
}
