/**
 * The file system as the protocol servers (NFS, FUSE) see it: one interface, implemented by the union over a journal
 * and by the reference model of the tests.
 *
 * Every operation is synchronous. It either returns, throws a FileSystemError (nothing was changed), or throws a Fault
 * (nothing was changed; run it again when the needs are here). Permissions are checked here, not by the servers.
 *
 * Changes are made inside a transaction: `transact` runs the change, lets the server encode its reply, and records both
 * as one unit. A recorded change survives the death of this process once `flush` has returned, and the death of the
 * host once `sync` has settled; the server calls `flush` before any reply leaves.
 */

import type { Offset } from "./offsets.ts";

/** Identifies an inode for ever: slot * 2^40 + inode number, below 2^53. Never reused within a lineage. */
export type FileId = number;

/** A name or link target: its bytes, one per char (latin1), so that names which are not UTF-8 survive. */
export type Name = string;

/** Seconds since the epoch (may be negative) and nanoseconds 0..999,999,999. */
export interface Time {
  readonly seconds: number;
  readonly nanoseconds: number;
}

export interface Attributes {
  readonly id: FileId;
  /** File type and permission bits as in stat(2): `S_IFMT | 07777`. */
  readonly mode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes; 2^53 - 1 where it is more: then `large` has the exact size. */
  readonly size: number;
  readonly large?: { readonly size: bigint } | undefined;
  /** Bytes of storage; holes do not count. */
  readonly used: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  readonly accessed: Time;
  readonly modified: Time;
  readonly changed: Time;
}

/** A file's size in bytes. */
export function exactSize({ size, large }: Pick<Attributes, "size" | "large">): Offset {
  return large === undefined ? size : large.size;
}

/** Who asks. Supplementary groups count for permissions; uid 0 passes every check that root passes on Linux. */
export interface Caller {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
}

/** What to change; absent members stay. `"now"` is the server's clock. */
export interface AttributeChange {
  /** Permission bits only (07777). */
  mode?: number;
  uid?: number;
  gid?: number;
  size?: Offset;
  accessed?: Time | "now";
  modified?: Time | "now";
}

/** The bits of `access`, as in RFC 1813 section 3.3.4. */
export const Access = { read: 1, lookup: 2, modify: 4, extend: 8, delete: 16, execute: 32 } as const;

/** stat(2) file types, the bits under `S_IFMT`. */
export const FileType = {
  mask: 0o170000,
  socket: 0o140000,
  symlink: 0o120000,
  regular: 0o100000,
  block: 0o060000,
  directory: 0o040000,
  character: 0o020000,
  fifo: 0o010000,
} as const;

export interface DirectoryEntry {
  readonly name: Name;
  readonly id: FileId;
  /** Where to go on after this entry; valid for ever, also after the entry is gone. Positive, below 2^53. */
  readonly cookie: number;
}

/** How CREATE treats a name that exists (RFC 1813 section 3.3.8). */
export type CreateMode = { kind: "unchecked" } | { kind: "guarded" } | { kind: "exclusive"; verifier: bigint };

export interface Statistics {
  /** Bytes in all, free, and free to a caller that is not root. */
  readonly totalBytes: number;
  readonly freeBytes: number;
  readonly availableBytes: number;
  readonly totalFiles: number;
  readonly freeFiles: number;
}

/** Identifies a request for the duplicate request cache: see DESIGN "Exactly once"; 32 hex digits or fewer. */
export type RequestKey = string;

export interface FileSystem {
  readonly rootId: FileId;
  /** 16 bytes that name this file system's history; handles carry them. Survives restarts, resumes and migrations. */
  readonly lineage: Buffer;
  /** 32 bytes, secret: keys the MAC in file handles. Lives as long as the lineage. */
  readonly handleKey: Buffer;
  /** 8 bytes: changes exactly when unstable writes may have been lost (RFC 1813 section 3.3.7). */
  readonly writeVerifier: Buffer;
  /**
   * Grows with every change that `getAttributes`, `list` or `lookup` could show, whoever made it; lets servers keep what
   * they encoded until it changes. Absent where changes cannot be counted (live layers).
   */
  readonly changeCount?: number;
  /**
   * Grows when a change gave other meanings to names than the one that it was about: a `.mount` came, changed or went.
   * Lets servers that told a kernel what names mean take it back.
   */
  readonly mountCount?: number;

  /** Throws ESTALE for an id that names nothing. */
  getAttributes(id: FileId): Attributes;
  setAttributes(caller: Caller, id: FileId, change: AttributeChange): void;
  /** `.` and `..` work; `..` of the root is the root. ENOENT, ENOTDIR, EACCES. */
  lookup(caller: Caller, directory: FileId, name: Name): FileId;
  /** The subset of the Access bits in `mask` that the caller has. */
  access(caller: Caller, id: FileId, mask: number): number;
  readLink(caller: Caller, id: FileId): Name;
  /** Copies up to `length` bytes from `offset` into `target` at `targetOffset`; returns how many (0 at the end). */
  read(caller: Caller, id: FileId, offset: Offset, length: number, target: Buffer, targetOffset: number): number;
  /** All entries after `cookie` (0: from the start) without `.` and `..`, in cookie order, at most `limit`. */
  list(caller: Caller, directory: FileId, cookie: number, limit: number): DirectoryEntry[];
  statistics(): Statistics;

  write(caller: Caller, id: FileId, offset: Offset, data: Buffer): void;
  createFile(caller: Caller, directory: FileId, name: Name, change: AttributeChange, mode: CreateMode): FileId;
  createDirectory(caller: Caller, directory: FileId, name: Name, change: AttributeChange): FileId;
  createSymlink(caller: Caller, directory: FileId, name: Name, target: Name, change: AttributeChange): FileId;
  /** `type` is one of the S_IFMT bits for block, character, fifo or socket. */
  createSpecial(
    caller: Caller,
    directory: FileId,
    name: Name,
    type: number,
    deviceMajor: number,
    deviceMinor: number,
    change: AttributeChange,
  ): FileId;
  removeFile(caller: Caller, directory: FileId, name: Name): void;
  removeDirectory(caller: Caller, directory: FileId, name: Name): void;
  rename(caller: Caller, from: FileId, fromName: Name, to: FileId, toName: Name): void;
  link(caller: Caller, id: FileId, directory: FileId, name: Name): void;

  /** Extended attributes (xattr(7)); names with their namespace, values as bytes. ENODATA where there is none. */
  getExtendedAttribute(caller: Caller, id: FileId, name: Name): Buffer;
  setExtendedAttribute(caller: Caller, id: FileId, name: Name, value: Buffer, mode: "any" | "create" | "replace"): void;
  removeExtendedAttribute(caller: Caller, id: FileId, name: Name): void;
  listExtendedAttributes(caller: Caller, id: FileId): Name[];

  /** What names the file among all that share a lock table. Absent, or undefined: the id, which is this file system's own. */
  lockKey?(id: FileId): string | undefined;

  /** Keeps an unlinked inode alive while a client has it open (FUSE); `release` undoes one `retain`. */
  retain(id: FileId): void;
  release(id: FileId): void;

  /**
   * Runs a change and encodes its reply as one unit: `run` makes the change and returns the reply's bytes, which are
   * recorded under `key` (when given) with the change, or alone where nothing changed. What `run` throws is rethrown.
   * Thrown before its first change, it changes nothing. Thrown after it, the file system may fail closed: it answers
   * nothing more, and re-opening shows nothing of the transaction. So a server makes one changing call a transaction:
   * each looks at all that it needs before it changes anything.
   */
  transact(key: RequestKey | undefined, run: () => Buffer): Buffer;
  /** The recorded reply of a request that was already done, in this life of the process or an earlier one. */
  findReply(key: RequestKey): Buffer | undefined;
  /** Hands everything recorded so far to the operating system. Throws when the disk refuses: then answer nobody. */
  flush(): void;
  /** Settles once everything recorded so far is on stable storage (group commit). Rejects when it cannot be. */
  sync(): Promise<void>;
}
