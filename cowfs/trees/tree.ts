/**
 * A sealed tree as its readers see it: immutable, named by the BLAKE3 of its index (DESIGN 3).
 *
 * Metadata is resident once the tree is open; `read` throws a Fault for data that is not here. Nothing here allocates
 * except names, link targets and extended attributes.
 */
import type { Name } from "../file-system.ts";
import type { Layer } from "../layers/layer.ts";

export { whiteout } from "../layers/layer.ts";

export interface Tree extends Layer {
  /** BLAKE3 of the index, 64 hex digits. */
  readonly id: string;
  readonly isLive: false;
  /** The tree that this one was sealed over, if any. */
  readonly base: string | undefined;
  readonly inodeCount: number;
  readonly chunkCount: number;
  /** Bytes of file content, each hard-linked file counted once. */
  readonly contentBytes: number;

  /** Entries of a directory are numbered consecutively, in bytewise order of their names. */
  firstEntry(directory: number): number;
  entryCount(directory: number): number;
  entryName(entry: number): Name;
  entryInode(entry: number): number;

  pieces(inode: number): Piece[];
}

/** A run of a file's content: a chunk, named by its BLAKE3 (64 hex digits), or a hole. */
export interface Piece {
  readonly offset: number;
  readonly length: number;
  readonly hash: string | undefined;
}
