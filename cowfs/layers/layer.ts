/**
 * What the union asks of whatever lies below its journal: a sealed tree (../trees/), or a live layer (live-layer.ts).
 *
 * Inodes are numbered from 0, the root directory, and a number is for ever: file ids carry it. Everything is synchronous.
 * What is not here throws a Fault; what cannot be had throws a FileSystemError. A sealed tree's metadata is always here.
 */
import type { Name, Time } from "../file-system.ts";
import type { Piece } from "../trees/tree.ts";

/** The inode number of an entry that hides the name in weaker layers. */
export const whiteout = 0xffffffff;

export interface Layer {
  /** What a journal records of it, and insists on: a tree's hash, a live layer's URL. */
  readonly id: string;
  /** Whether its content changes by itself: nothing of it may be kept without a bound in time. */
  readonly isLive: boolean;

  /** Whether the number was ever given to an inode. */
  has(inode: number): boolean;
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
  /** When it was last read; undefined where the layer does not tell. */
  accessed(inode: number): Time | undefined;
  /** When it last changed in any way; undefined where the layer does not tell. */
  changed(inode: number): Time | undefined;
  /** True for a directory that hides all that weaker layers hold at its place. */
  isOpaque(inode: number): boolean;

  /** The parent directory of a directory; the root's is the root. */
  parent(directory: number): number;
  /** The name of a directory in its parent; empty for the root. */
  nameOf(directory: number): Name;
  /** The inode under a name, `whiteout`, or -1 where there is no such entry. */
  find(directory: number, name: Name): number;
  /** Calls back for each entry in an order that stays while the directory does; `inode` may be `whiteout`. */
  visitEntries(directory: number, visit: (name: Name, inode: number) => void): void;
  /** How many directories the layer holds in a directory; 0 where it cannot tell without listing it. */
  countDirectories(directory: number): number;

  linkTarget(inode: number): Name;
  extendedAttributes(inode: number): ReadonlyMap<Name, Buffer>;

  /** Copies file bytes; returns how many (0 at the end of the file). Throws a Fault that names all that is missing. */
  read(inode: number, offset: number, length: number, target: Buffer, targetOffset: number): number;
  /**
   * The chunks of a file in order: a hole where `hash` is undefined. Lets a new tree name them without reading them.
   * Undefined where there are none: a live layer's bytes have no names.
   */
  pieces(inode: number): Piece[] | undefined;
}
