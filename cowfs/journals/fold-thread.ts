import { Worker } from "node:worker_threads";
import { XenoError } from "../errors.ts";
import type { Folded, FoldTask } from "./fold.ts";

/** Folds off the event loop. Rejects with `journal-damaged`, or `checkpoint-failed` for what the disk says or a thread that cannot be had. */
export async function foldInThread(task: FoldTask): Promise<Folded> {
  const worker = new Worker(new URL("./fold-worker.ts", import.meta.url), { workerData: task });
  try {
    return await new Promise((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", (cause) => reject(foldFailed(task.directory, cause)));
      worker.once("exit", (code) => reject(new Error(`the thread that folds the log ended with ${code}`)));
    });
  } finally {
    await worker.terminate();
  }
}

function foldFailed(directory: string, cause: unknown): XenoError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const isDamage = code === "journal-damaged";
  return new XenoError(isDamage ? code : "checkpoint-failed", `cannot fold the log of ${directory}: ${message}`, {
    cause,
    hint: "The journal goes on without; look at the disk before its log fills it.",
  });
}
