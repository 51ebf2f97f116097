/** What a layer's process is asked, over Node's IPC (structured clones), and what it answers. */
import type { Errno } from "../../errors.ts";
import type { HostDirectoryPlace } from "../host/host-directory.ts";
import type { NfsPlace } from "../nfs/mount.ts";

/** Which files a process serves: its only argument, as JSON. */
export type LiveOpening = ({ readonly kind: "directory" } & HostDirectoryPlace) | ({ readonly kind: "nfs" } & NfsPlace);

export interface LiveCall {
  readonly id: number;
  /** A method of LiveFiles, and its arguments without the signal. */
  readonly method: string;
  readonly args: readonly unknown[];
}

export type LiveAnswer =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly failure: LiveFailure };

export interface LiveFailure {
  /** Set where it is the file system's answer. */
  readonly errno?: Errno;
  readonly code: string;
  readonly message: string;
}
