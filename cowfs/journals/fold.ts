/**
 * Folding: the checkpoint before and the log files since, as a new checkpoint.
 *
 * Where it passes a pin, it leaves the state as it was there too (N1 in pins.ts).
 *
 * It needs no memory of the process that serves the journal: the files that it reads are closed and synced. What it
 * writes is what opening them would have shown, for it applies the same changes with the same code (S1).
 */
import fs from "node:fs";
import type { FileId } from "../file-system.ts";
import { ChangeReader } from "./changes.ts";
import { loadCheckpoint, newCheckpointPath, writeCheckpoint } from "./checkpoint-file.ts";
import { syncDirectory } from "./disk.ts";
import { damagedLog, type LogPosition, listLogFiles, readLogHeader, scanLogFile } from "./log-file.ts";
import { pinPath } from "./pins.ts";
import { JournalState } from "./state.ts";
import { listRareInodes } from "./state-changes.ts";

export interface FoldTask {
  readonly directory: string;
  /** The last record that is taken in: the last one of a closed file. */
  readonly until: LogPosition;
  /** Positions in the closed files whose state is to be kept. */
  readonly pins: readonly LogPosition[];
}

/** What the thread that serves the journal takes instead of its objects (I3 in inodes.ts). */
export interface Folded {
  /** The size of the checkpoint. */
  readonly bytes: number;
  /** Its columns, each in memory of its own. */
  readonly sections: readonly Uint8Array<ArrayBuffer>[];
  /** The inodes that are not wholly in them. */
  readonly rare: readonly FileId[];
}

/** Writes the checkpoint at `until` under its name of before. Throws `journal-damaged`, or what the disk says. */
export function foldLog({ directory, until, pins }: FoldTask): Folded {
  const state = new JournalState();
  let position: LogPosition = loadCheckpoint(directory, state);
  const pinned = new Map(pins.map((pin) => [pin.sequence, pin]));
  const take = (payload: Buffer, sequence: number) => {
    // The record after a position is the pin's own.
    const pin = pinned.get(sequence - 1);
    if (pin !== undefined) keepPin(directory, pin, state);
    for (const change of new ChangeReader(payload).changes()) state.apply(change);
    return true;
  };
  for (const { path, first } of listLogFiles(directory)) {
    if (first <= position.sequence || first > until.sequence) continue;
    const file = fs.openSync(path, "r");
    try {
      const header = readLogHeader(file, path);
      if (header?.sequence !== position.sequence || header.checksum !== position.checksum)
        throw damagedLog(path, "its header does not follow the records before it");
      position = scanLogFile(file, path, header, take).position;
    } finally {
      fs.closeSync(file);
    }
  }
  if (position.sequence !== until.sequence || position.checksum !== until.checksum)
    throw damagedLog(directory, `its records end at ${position.sequence} and should at ${until.sequence}`);
  // (N4)
  if (pins.length > 0) syncDirectory(directory);
  // With the epoch of its last record: a log file without records may be older than the epoch that stands at its end.
  const { bytes, sections } = writeCheckpoint(newCheckpointPath(directory), position, state);
  return { bytes, sections: sections.map((section) => new Uint8Array(section)), rare: listRareInodes(state) };
}

function keepPin(directory: string, position: LogPosition, state: JournalState): void {
  writeCheckpoint(newCheckpointPath(directory), position, state);
  fs.renameSync(newCheckpointPath(directory), pinPath(directory, position));
}
