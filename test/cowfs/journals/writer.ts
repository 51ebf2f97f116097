/** A child for kill.test.ts: adds files to a journal, and says of each that it is there once it was flushed. */
import { Journal } from "../../../cowfs/journals/journal.ts";
import { addFile } from "./scratch.ts";

// So small that rounds of checkpoints run all the time, and are killed at any of their steps.
const limits = { logBytes: 20_000, fullSegmentBytes: 64 * 1024 };
const journal = Journal.open(process.argv[2], undefined, limits);
for (let index = journal.state.replies.size; ; index++) {
  addFile(journal, `file ${index}`, `content ${index} `.repeat(1 + (index % 50)));
  journal.flush();
  process.stdout.write(`${index}\n`);
  if (index % 7 === 0) await journal.sync();
  // So that the pipe is written while this goes on.
  await new Promise((resolve) => setImmediate(resolve));
}
