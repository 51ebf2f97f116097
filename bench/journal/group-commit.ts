/** Creates that are on stable storage: many that wait at once share a sync; one at a time, each has its own. */
import { Journal } from "../../cowfs/journals/journal.ts";
import { FileMaker } from "./make-files.ts";

const deep = 16;
const rounds = 3;

/** In turn, so that what else the machine does meets both. */
export async function measureGroupCommit(directory: string, seconds: number, signal: AbortSignal) {
  const journal = Journal.open(directory);
  const maker = new FileMaker(journal);
  const total = { shared: 0, each: 0 };
  for (let round = 0; round < rounds; round++) {
    total.shared += await countCreates(journal, maker, deep, (seconds * 1000) / rounds, signal);
    total.each += await countCreates(journal, maker, 1, (seconds * 1000) / rounds, signal);
  }
  await journal.close();
  return { deep, sharedPerSecond: total.shared / seconds, eachPerSecond: total.each / seconds };
}

async function countCreates(journal: Journal, maker: FileMaker, depth: number, ms: number, signal: AbortSignal) {
  const end = performance.now() + ms;
  let count = 0;
  const client = async () => {
    while (performance.now() < end) {
      signal.throwIfAborted();
      maker.make();
      await journal.sync();
      count++;
    }
  };
  await Promise.all(Array.from({ length: depth }, client));
  return count;
}
