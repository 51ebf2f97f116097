/** What a procedure is to the dispatcher, and what it is given. One set of types serves NFS, MOUNT and the portmapper. */
import type { Need } from "../../fault.ts";
import type { Caller, FileId, FileSystem } from "../../file-system.ts";
import type { Handles } from "../handles.ts";
import type { LockQueue } from "../locks/lock-queue.ts";
import type { LockTable } from "../locks/lock-table.ts";
import type { XdrReader, XdrWriter } from "../xdr.ts";

/** What all requests of one export share. */
export interface Service {
  readonly fileSystem: FileSystem;
  readonly handles: Handles;
  /** The fsid that attributes carry, from the lineage: the same after a restart and on another host. */
  readonly fsidHigh: number;
  readonly fsidLow: number;
  /** The path that clients name in MNT; below it they may name directories. */
  readonly exportPath: string;
  readonly mounts: MountTable;
  readonly locks: LockTable;
  /** Who waits for a lock, where clients are called back. */
  readonly lockQueue: LockQueue | undefined;
  /** The lineage: begins the names of this export's clients and files in the lock table. */
  readonly lockScope: string;
  readonly directoryPages: DirectoryPages;
  /** Called once for each fileid that it still holds, when it is first read. */
  readonly watched: Set<FileId>;
  onFirstRead(id: FileId): void;
  onMount(path: string, host: string): void;
  /** What a MNT from this peer has to wait for: whether it begins a new life of the guest. */
  needBeforeMount(peer: Peer): Need | undefined;
}

/** Who has mounted what: what MOUNT's DUMP answers. Advisory, as RFC 1813 says of it. */
export interface MountTable {
  add(host: string, path: string): void;
  remove(host: string, path: string): void;
  removeAll(host: string): void;
  list(): Iterable<{ readonly host: string; readonly path: string }>;
}

/** Encoded READDIRPLUS replies that are still true: see directory-pages.ts. */
export interface DirectoryPages {
  find(key: string): Buffer | undefined;
  keep(key: string, page: Buffer): void;
}

/** Where a request came from. */
export interface Peer {
  readonly host: string;
  readonly port: number;
  readonly localPort: number;
}

/** One request, while it runs. The same object serves the next one. */
export interface Request {
  caller: Caller;
  peer: Peer;
  /** The objects that a failure reports attributes of, as far as they were decoded; -1 before. */
  first: FileId;
  second: FileId;
  /** Whether the reply has to wait for stable storage: an UNSTABLE write's has not, nor a change's of an export that is `unsafeAsync`. */
  stable: boolean;
}

/**
 * - `none`: reads only; its reply is written straight to the connection.
 * - `change`: runs in a transaction, exactly once.
 * - `commit`: changes nothing, but its reply waits for stable storage.
 */
export type Effect = "none" | "change" | "commit";

export interface Procedure {
  readonly name: string;
  readonly effect: Effect;
  /** Reads the arguments, does the work and writes the results. Throws a Fault, XdrError, NfsError or FileSystemError. */
  run(service: Service, request: Request, args: XdrReader, reply: XdrWriter): void;
  /** Writes the results of a failure. Nothing was changed. */
  fail(service: Service, request: Request, status: number, reply: XdrWriter): void;
}

/** An RPC program, one version of it. */
export interface Program {
  readonly number: number;
  readonly version: number;
  /** By procedure number. */
  readonly procedures: readonly (Procedure | undefined)[];
}
