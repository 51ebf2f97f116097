/**
 * What opening a journal makes of what the process before it left.
 *
 * - (V1) A record counts where it is whole and so is the data that it points at; the first that is not ends the log (J1).
 * - (V2) After a failed sync only what was marked as synced counts: what the operating system shows may not be on the disk.
 * - (V3) What counts is made stable and marked before anything is served. It may have been promised, since the mark may lag (L4),
 *   and clients may ask this process to make stable what they wrote to that one (RFC 1813 section 4.8): else a sync that fails
 *   later would have the next opener take it for lost.
 */
import { ChangeReader } from "./changes.ts";
import { loadCheckpoint } from "./checkpoint-file.ts";
import type { CheckpointStart } from "./checkpoints.ts";
import { syncDirectory } from "./disk.ts";
import { lowerAddress } from "./extents.ts";
import type { Identity } from "./identity.ts";
import type { Log } from "./log.ts";
import type { Segments } from "./segments.ts";
import { type Change, firstLayerId, type JournalState } from "./state.ts";

export interface RecoveredParts {
  readonly directory: string;
  readonly state: JournalState;
  readonly identity: Identity;
  readonly log: Log;
  readonly segments: Segments;
}

/** Fills the state; returns what it began with. Throws `journal-damaged`, `journal-too-new`, and what the disk says. */
export function recover(parts: RecoveredParts): CheckpointStart {
  const { directory, state, identity, log } = parts;
  const start = loadCheckpoint(directory, state);
  log.recover(start, identity.syncedRecords, (payload, isSynced) => replay(parts, payload, isSynced));
  makeStable(parts);
  return start;
}

/** (V1), (V2): false where the record must not count. */
function replay({ state, identity, segments }: RecoveredParts, payload: Buffer, isSynced: boolean): boolean {
  if (!isSynced && identity.syncFailed) return false;
  const changes = [...new ChangeReader(payload).changes()];
  for (const change of changes) if (!hasData(segments, change, isSynced)) return false;
  for (const change of changes) {
    state.apply(change);
    if (!pointsAtData(change)) continue;
    const { address, length } = change.extent;
    segments.noteWritten(address, length, change.checksum);
    if (!isSynced) segments.adopt(address, length);
  }
  return true;
}

/** Of what was synced only that it is there at all: to read it would take as long as the journal is large. */
function hasData(segments: Segments, change: Change, isSynced: boolean): boolean {
  if (!pointsAtData(change)) return true;
  const { address, length } = change.extent;
  return isSynced ? segments.holds(address, length) : segments.verify(address, length, change.checksum);
}

function pointsAtData(change: Change): change is Change & { kind: "lay" } {
  return change.kind === "lay" && change.extent.address !== lowerAddress;
}

/** (V3) */
function makeStable({ directory, log, segments }: RecoveredParts): void {
  const { sequence, marked } = log;
  if (sequence === marked) return;
  segments.syncNow();
  log.syncNow();
  // (L6)
  syncDirectory(directory);
  log.markSynced(sequence);
}

/** Of files without a name that were kept open when the process died: what drops them. Nobody can reach them any more. */
export function listOrphanDrops(state: JournalState): Change[] {
  const changes: Change[] = [];
  for (const { id, extents, large } of state.inodes.nameless()) {
    if (id < firstLayerId) changes.push({ kind: "drop", id });
    // Of one from a layer below it must stay known that it is gone.
    else if (extents.length > 0 || large !== undefined) changes.push({ kind: "cut", id, size: 0 });
  }
  return changes;
}
