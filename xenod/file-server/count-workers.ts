import { availableParallelism } from "node:os";
import { maxWorkers } from "./files.ts";
import type { FileServerConfiguration } from "./protocol.ts";

/** Beyond these, guests are short of cores before their file server is. */
const mostByDefault = 8;

/** How many workers the exports are spread over; they are started as they are needed. */
export function countWorkers({ workers, live }: Pick<FileServerConfiguration, "workers" | "live">): number {
  // One table of locks, and one process of each live layer, for all guests that share files.
  if (live !== undefined && live.allow.length > 0) return 1;
  return Math.min(workers ?? Math.min(availableParallelism(), mostByDefault), maxWorkers);
}
