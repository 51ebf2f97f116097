/** A journal of many files: how long folding keeps the event loop waiting, and how long opening takes afterwards. */
import { statSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";
import { checkpointPath, listCheckpoints } from "../../cowfs/journals/checkpoint-file.ts";
import { Journal } from "../../cowfs/journals/journal.ts";
import { FileMaker } from "./make-files.ts";

const openingCount = 5;
const changeEveryMs = 10;
const filesPerTurn = 1000;

export interface Opening {
  readonly ms: number;
  /** Of this process. */
  readonly cpuMs: number;
  /** More than before. */
  readonly heapBytes: number;
}

export async function measureOpening(
  directory: string,
  files: number,
  tell: (text: string) => void,
  signal: AbortSignal,
) {
  const folding = await makeJournal(directory, files, tell, signal);
  const { size: checkpointBytes } = statSync(checkpointPath(directory, listCheckpoints(directory).at(-1)!));
  const openings: Opening[] = [];
  for (let count = 0; count < openingCount; count++) {
    signal.throwIfAborted();
    tell(`opening ${count + 1} of ${openingCount}`);
    openings.push(await openOnce(directory));
  }
  return { files, checkpointBytes, ...folding, openings };
}

async function makeJournal(directory: string, files: number, tell: (text: string) => void, signal: AbortSignal) {
  const journal = Journal.open(directory);
  const maker = new FileMaker(journal);
  for (let made = 0; made < files; made++) {
    maker.make();
    if (made % filesPerTurn !== 0) continue;
    journal.flush();
    if (made % (100 * filesPerTurn) === 0) tell(`${made} of ${files} files made`);
    await delay(0, undefined, { signal });
  }
  await journal.sync();
  // The round that its growth has begun.
  await journal.checkpoint();
  tell("folding");
  const waits = monitorEventLoopDelay({ resolution: 1 });
  waits.enable();
  const began = performance.now();
  let isFolding = true;
  let longestTurnMs = 0;
  const folding = journal.checkpoint().finally(() => {
    isFolding = false;
  });
  while (isFolding) {
    const before = process.threadCpuUsage();
    maker.make();
    journal.flush();
    await delay(changeEveryMs, undefined, { signal });
    const { user, system } = process.threadCpuUsage(before);
    longestTurnMs = Math.max(longestTurnMs, (user + system) / 1000);
  }
  await folding;
  const foldMs = performance.now() - began;
  waits.disable();
  await journal.close();
  return { foldMs, longestWaitMs: waits.max / 1e6, longestTurnMs };
}

async function openOnce(directory: string): Promise<Opening> {
  const heap = process.memoryUsage().heapUsed;
  const processor = process.cpuUsage();
  const began = performance.now();
  const journal = Journal.open(directory);
  const ms = performance.now() - began;
  const { user, system } = process.cpuUsage(processor);
  const heapBytes = Math.max(0, process.memoryUsage().heapUsed - heap);
  await journal.close();
  return { ms, cpuMs: (user + system) / 1000, heapBytes };
}
