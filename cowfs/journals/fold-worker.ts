/** The thread that `Checkpoints` starts: folds the log, hands over the columns of the checkpoint, and ends. */
import { parentPort, workerData } from "node:worker_threads";
import { foldLog } from "./fold.ts";

const folded = foldLog(workerData);
parentPort!.postMessage(
  folded,
  folded.sections.map(({ buffer }) => buffer),
);
