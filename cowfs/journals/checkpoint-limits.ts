/** When the log is folded and the journal's files are reclaimed, by what, and who is told. */
import { XenoError } from "../errors.ts";
import type { Folded, FoldTask } from "./fold.ts";
import { foldInThread } from "./fold-thread.ts";
import type { RoomLimits } from "./room.ts";
import { segmentBytes } from "./segment-use.ts";

export type CheckpointStep =
  | "compacted"
  | "prepared"
  | "switched"
  | "synced"
  | "folded"
  | "named"
  | "durable"
  | "logs removed"
  | "segments removed";

export interface CheckpointLimits extends RoomLimits {
  /** A log of so many bytes is folded, or of twice the checkpoint's size where that is more. */
  readonly logBytes: number;
  /** On closing, a log of so many: opening it anew would take longer than folding it now. */
  readonly closingLogBytes: number;
  /** Called after each step of a round. Tests look at the disk then, or kill the process. */
  readonly onStep: (step: CheckpointStep) => void;
  /** Told why a round failed; it is tried again when the log has grown. */
  readonly onFailed: (error: unknown) => void;
  /** Writes the new checkpoint. Tests that look at every write have it done in their own thread. */
  readonly fold: (task: FoldTask) => Promise<Folded>;
}

export const defaultLimits: CheckpointLimits = {
  logBytes: 16 * 1024 * 1024,
  closingLogBytes: 1024 * 1024,
  fullSegmentBytes: segmentBytes,
  quotaBytes: Number.POSITIVE_INFINITY,
  quotaFiles: 4_000_000,
  onStep: () => {},
  onFailed: () => {},
  fold: foldInThread,
};

/** As they are, or smaller, so that a round takes a small part of the quota. Throws `quota-too-small`. */
export function scaleLimits(limits: CheckpointLimits): CheckpointLimits {
  const { quotaBytes } = limits;
  if (quotaBytes < minQuotaBytes)
    throw new XenoError("quota-too-small", `a journal does not work within ${quotaBytes} bytes`, {
      hint: `Give it ${minQuotaBytes / 1024 / 1024} MiB or more.`,
    });
  const part = Math.floor(quotaBytes / quotaParts);
  const { fullSegmentBytes, logBytes } = limits;
  return { ...limits, fullSegmentBytes: Math.min(fullSegmentBytes, part), logBytes: Math.min(logBytes, part) };
}

export const minQuotaBytes = 16 * 1024 * 1024;
const quotaParts = 16;
