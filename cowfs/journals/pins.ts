/**
 * Pins: positions of a journal that stay readable, whatever is written after them (DESIGN 3, J3). A snapshot is a pin.
 *
 * - (N1) A pin is one record, however large the journal is. Its state is that after the records before its own: a
 *   checkpoint and log files, until a fold passes it and leaves it as a checkpoint of its own, `pin-<its last record>`.
 *   The log files go only when that is on stable storage.
 * - (N2) A pin's record names the segments that its state points at. Nothing is appended to them any more, none is
 *   compacted, and none goes while a pin names it.
 * - (N3) A pin's file goes only when a checkpoint without the pin is on stable storage.
 * - (N4) The files of the pins that a fold passed are on stable storage before its checkpoint gets its name: who finds that name
 *   after a power loss needs what is older no more, but for the pins.
 */
import fs from "node:fs";
import path from "node:path";
import { XenoError } from "../errors.ts";
import type { LogPosition } from "./log-file.ts";

export interface Pin {
  readonly name: string;
  /** Where the log stood: all before is in it. */
  readonly position: LogPosition;
  /** Ms since the epoch. */
  readonly created: number;
  /** Those that it points at. */
  readonly segments: readonly PinnedSegment[];
}

export interface PinnedSegment {
  readonly segment: number;
  /** Its size: nothing is appended to it any more. */
  readonly bytes: number;
}

/** A journal has no more: each costs a checkpoint on the disk, and a word for each segment in memory. */
export const maxPins = 1024;

export const pinNamePattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$";

/** Throws `pin-name-invalid`. */
export function requirePinName(name: string): void {
  if (new RegExp(pinNamePattern).test(name)) return;
  throw new XenoError("pin-name-invalid", `a pin cannot be named ${JSON.stringify(name)}`, {
    hint: "Use up to 128 letters, digits, dots, dashes and underscores, a letter or digit first.",
  });
}

export function unknownPin(directory: string, name: string): XenoError {
  return new XenoError("pin-unknown", `the journal ${directory} has no pin ${name}`, {
    hint: "List its pins: it may have been dropped.",
  });
}

export function pinPath(directory: string, { sequence }: LogPosition): string {
  return path.join(directory, `pin-${String(sequence).padStart(16, "0")}`);
}

/** The files of pins that a fold has passed, by the sequence number of their last record. */
export function listPinFiles(directory: string): { path: string; sequence: number }[] {
  return fs.readdirSync(directory).flatMap((name) => {
    const sequence = /^pin-(\d{16})$/.exec(name)?.[1];
    return sequence === undefined ? [] : [{ path: path.join(directory, name), sequence: Number(sequence) }];
  });
}
