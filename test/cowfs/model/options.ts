import type { Need } from "../../../cowfs/fault.ts";
import type { FileId, Name, Time } from "../../../cowfs/file-system.ts";

export interface ModelOptions {
  /** The wall clock. The model never lets ctime run backwards, whatever this says. */
  clock?: () => Time;
  /** What a read must wait for; a Fault is thrown while this names anything. */
  faultOnRead?: (id: FileId, offset: number, length: number) => readonly Need[];
  /** The same for looking up a name, as in a directory of a slow live layer. */
  faultOnLookup?: (directory: FileId, name: Name) => readonly Need[];
  /** The same for the start of any write, as where a lower layer's bytes must be here first. */
  faultOnWrite?: (id: FileId, offset: number, length: number) => readonly Need[];
  /** Runs at each flush; throw what a refusing disk throws. */
  onFlush?: () => void;
  /** Runs at each sync; a rejection makes it fail, and then the write verifier changes. */
  onSync?: () => void | Promise<void>;
  /** Bytes that file content may use; ENOSPC beyond. */
  totalBytes?: number;
  /** Hard links to a file, and entries of a directory that are directories; EMLINK beyond. */
  maxLinks?: number;
}

export function systemClock(): Time {
  const milliseconds = performance.timeOrigin + performance.now();
  const seconds = Math.floor(milliseconds / 1000);
  return { seconds, nanoseconds: Math.floor((milliseconds - seconds * 1000) * 1e6) };
}
