/**
 * A sealed tree as its readers see it: immutable, named by the BLAKE3 of its index (DESIGN 3).
 *
 * Inodes are numbered from 0, the root directory. Metadata is resident once the tree is open; `read` throws a Fault for
 * data that is not here. Nothing here allocates except names, link targets and extended attributes.
 */
import type { Name } from "../file-system.ts";

/** The inode number of an entry that hides the name in weaker layers. */
export const whiteout = 0xffffffff;

export interface Tree {
  /** BLAKE3 of the index, 64 hex digits. */
  readonly id: string;
  /** The tree that this one was sealed over, if any. */
  readonly base: string | undefined;
  readonly inodeCount: number;
  readonly chunkCount: number;
  /** Bytes of file content, each hard-linked file counted once. */
  readonly contentBytes: number;

  mode(inode: number): number;
  uid(inode: number): number;
  gid(inode: number): number;
  links(inode: number): number;
  size(inode: number): number;
  used(inode: number): number;
  deviceMajor(inode: number): number;
  deviceMinor(inode: number): number;
  modifiedSeconds(inode: number): number;
  modifiedNanoseconds(inode: number): number;
  /** True for a directory that hides all that weaker layers hold at its place. */
  isOpaque(inode: number): boolean;

  /** The parent directory of a directory; the root's is the root. */
  parent(directory: number): number;
  /** The name of a directory in its parent; empty for the root. */
  nameOf(directory: number): Name;
  /** The inode under a name, `whiteout`, or -1 where there is no such entry. */
  find(directory: number, name: Name): number;
  /** Entries of a directory are numbered consecutively, in bytewise order of their names. */
  firstEntry(directory: number): number;
  entryCount(directory: number): number;
  entryName(entry: number): Name;
  entryInode(entry: number): number;

  linkTarget(inode: number): Name;
  extendedAttributes(inode: number): ReadonlyMap<Name, Buffer>;

  /** Copies file bytes; returns how many (0 at the end of the file). Throws a Fault that names every missing chunk. */
  read(inode: number, offset: number, length: number, target: Buffer, targetOffset: number): number;
  /** The chunks of a file in order: a hole where `hash` is undefined. Lets a new tree name them without reading them. */
  pieces(inode: number): Piece[];
}

/** A run of a file's content: a chunk, named by its BLAKE3 (64 hex digits), or a hole. */
export interface Piece {
  readonly offset: number;
  readonly length: number;
  readonly hash: string | undefined;
}
