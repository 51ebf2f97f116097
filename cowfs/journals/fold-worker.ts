/** The thread that `Checkpoints` starts: folds the log, says how large the checkpoint is, and ends. */
import { parentPort, workerData } from "node:worker_threads";
import { foldLog } from "./fold.ts";

parentPort!.postMessage(foldLog(workerData));
