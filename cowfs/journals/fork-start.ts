/**
 * What a fork begins with in place of a fold up to its pin: the newest checkpoint from before the pin, and the records of the log
 * from there to the pin. A fold reads all of the state and starts a thread; this copies what the log has grown by since the
 * last fold, for which a guest that moves stands still.
 *
 * All of it is taken in one turn: a round of checkpoints cannot take a file away in the middle (G1 in checkpoints.ts).
 */
import fs from "node:fs";
import { ChangeReader } from "./changes.ts";
import { checkpointPath, listCheckpoints } from "./checkpoint-file.ts";
import { lowerAddress } from "./extents.ts";
import { listLogFiles, readLogHeader, scanLogFile } from "./log-file.ts";
import type { Pin } from "./pins.ts";
import { segmentBytes } from "./segment-use.ts";

export interface LogPart {
  /** The sequence number of its first record. */
  readonly first: number;
  readonly bytes: Buffer;
}

/** More is folded: opening the fork replays it. Some 5,000 creates. */
const maxLogBytes = 1024 * 1024;

/**
 * Links the checkpoint into `making`, and returns the files of the log from there to the pin, oldest first: none where the
 * checkpoint is of the pin. Undefined where the pin is to be folded; then nothing was linked. Throws `journal-damaged`.
 */
export function linkForkStart(directory: string, pin: Pin, making: string): LogPart[] | undefined {
  const { sequence } = pin.position;
  const checkpoint = listCheckpoints(directory).findLast((each) => each <= sequence) ?? 0;
  const log = readLog(directory, checkpoint, pin);
  if (log === undefined) return undefined;
  try {
    if (checkpoint > 0) fs.linkSync(checkpointPath(directory, checkpoint), checkpointPath(making, checkpoint));
  } catch {
    // Another file system, or one without links: what is copied instead is copied off the event loop.
    return undefined;
  }
  return log;
}

/** The records after `checkpoint` up to the pin, where they are all there, few, and point at nothing but what the pin keeps. */
function readLog(directory: string, checkpoint: number, pin: Pin): LogPart[] | undefined {
  const { sequence: last, checksum } = pin.position;
  const kept = new Map(pin.segments.map(({ segment, bytes }) => [segment, bytes]));
  const isKept = (address: number, length: number) =>
    address === lowerAddress ||
    (address % segmentBytes) + length <= (kept.get(Math.floor(address / segmentBytes)) ?? -1);
  const log: LogPart[] = [];
  let at = checkpoint;
  let bytes = 0;
  let isWhole = true;
  for (const { path, first } of listLogFiles(directory)) {
    if (first <= checkpoint || at >= last) continue;
    const file = fs.openSync(path, "r");
    try {
      const header = readLogHeader(file, path);
      if (first !== at + 1 || header?.sequence !== at) return undefined;
      const scanned = scanLogFile(file, path, header, (payload, sequence) => {
        bytes += payload.length;
        if (sequence > last || bytes > maxLogBytes) return false;
        for (const change of new ChangeReader(payload).changes())
          isWhole &&= change.kind !== "lay" || isKept(change.extent.address, change.extent.length);
        return isWhole;
      });
      if (scanned.position.sequence === last) isWhole &&= scanned.position.checksum === checksum;
      const part = Buffer.allocUnsafe(scanned.end);
      if (!isWhole || fs.readSync(file, part, 0, part.length, 0) < part.length) return undefined;
      log.push({ first, bytes: part });
      at = scanned.position.sequence;
    } finally {
      fs.closeSync(file);
    }
  }
  return at === last ? log : undefined;
}
