/**
 * What a tree is built from: plain mutable nodes, one per inode. The same node under several names is a hard link.
 *
 * Nothing is checked here; `encodeTree` refuses what a sealed tree cannot hold and names its path.
 */
import { FileType, type Name, type Time } from "../file-system.ts";
import type { Piece } from "./tree.ts";

export interface TreeNode {
  /** File type and permission bits as in stat(2). */
  mode: number;
  uid: number;
  gid: number;
  modified: Time;
  /** Block and character devices; 0 for everything else. */
  deviceMajor: number;
  deviceMinor: number;
  /** Regular files: bytes, holes included. 0 for everything else. */
  size: number;
  /** Regular files: whole chunks in order of their offsets; what no piece covers is a hole. */
  pieces?: Piece[];
  /** Symbolic links. */
  target?: Name;
  /** Directories. */
  children?: Map<Name, TreeNode | "whiteout">;
  /** Directories: hides all that weaker layers hold at this place. */
  opaque?: boolean;
  /** Extended attributes, names with their namespace. */
  attributes: Map<Name, Buffer>;
}

/** What every kind of node has. `permissions` are the bits 07777. */
export interface NodeMetadata {
  permissions: number;
  uid?: number;
  gid?: number;
  modified?: Time;
  attributes?: Map<Name, Buffer>;
}

export function createDirectoryNode(metadata: NodeMetadata): TreeNode & { children: Map<Name, TreeNode | "whiteout"> } {
  return { ...createNode(FileType.directory, metadata), children: new Map() };
}

export function createFileNode(metadata: NodeMetadata, pieces: Piece[], size: number): TreeNode {
  return { ...createNode(FileType.regular, metadata), pieces, size };
}

export function createSymlinkNode(metadata: NodeMetadata, target: Name): TreeNode {
  return { ...createNode(FileType.symlink, metadata), target };
}

/** `type` is one of the S_IFMT bits for block, character, fifo or socket. */
export function createSpecialNode(
  metadata: NodeMetadata,
  type: number,
  deviceMajor: number,
  deviceMinor: number,
): TreeNode {
  return { ...createNode(type, metadata), deviceMajor, deviceMinor };
}

function createNode(type: number, metadata: NodeMetadata): TreeNode {
  return {
    mode: type | metadata.permissions,
    uid: metadata.uid ?? 0,
    gid: metadata.gid ?? 0,
    modified: metadata.modified ?? { seconds: 0, nanoseconds: 0 },
    deviceMajor: 0,
    deviceMinor: 0,
    size: 0,
    attributes: metadata.attributes ?? new Map(),
  };
}
