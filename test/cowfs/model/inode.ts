import { type Attributes, type FileId, FileType, type Name, type Time } from "../../../cowfs/file-system.ts";
import { pageBytes } from "./content.ts";

export interface Inode {
  readonly id: FileId;
  mode: number;
  uid: number;
  gid: number;
  links: number;
  size: number;
  large: { readonly size: bigint } | undefined;
  accessed: Time;
  modified: Time;
  changed: Time;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** How often a client has it open; no part of a transaction. */
  retained: number;
  /** Of an exclusive create, until the first change of content or attributes shows that its client had the reply. */
  verifier: bigint | undefined;
  readonly target: Name;
  readonly extended: Map<Name, Buffer>;
  /** Of a file: what is absent is a hole. */
  readonly pages: Map<number, Buffer>;
  /** Of a directory. */
  readonly entries: Map<Name, Entry>;
  parent: FileId;
  nextCookie: number;
}

export interface Entry {
  readonly inode: Inode;
  readonly cookie: number;
}

export function typeOf(inode: { mode: number }): number {
  return inode.mode & FileType.mask;
}

export function isDirectory(inode: { mode: number }): boolean {
  return typeOf(inode) === FileType.directory;
}

export function attributesOf(inode: Inode): Attributes {
  const { id, mode, links, uid, gid, size, large, deviceMajor, deviceMinor, accessed, modified, changed } = inode;
  const used = inode.pages.size * pageBytes;
  return { id, mode, links, uid, gid, size, large, used, deviceMajor, deviceMinor, accessed, modified, changed };
}
