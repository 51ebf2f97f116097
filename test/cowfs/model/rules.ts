/**
 * Who may do what: the rules of Linux's VFS (`may_delete`, `setattr_prepare`, `setattr_should_drop_suidgid`,
 * `xattr_permission`), with two that a server without opens needs (RFC 1813 section 4.4): the owner of a file may always
 * read, write and truncate it, since it may hold a descriptor from before a chmod, and who may execute may read.
 */
import { FileSystemError } from "../../../cowfs/errors.ts";
import { type AttributeChange, type Caller, FileType, type Name } from "../../../cowfs/file-system.ts";
import { type Inode, isDirectory, typeOf } from "./inode.ts";

export const may = { read: 4, write: 2, execute: 1 } as const;

export function isRoot(caller: Caller): boolean {
  return caller.uid === 0;
}

export function isOwner(caller: Caller, inode: Inode): boolean {
  return caller.uid === 0 || caller.uid === inode.uid;
}

export function isInGroup(caller: Caller, gid: number): boolean {
  return caller.gid === gid || caller.groups.includes(gid);
}

/** The classes do not add up: the owner has the owner's bits alone, a member of the group the group's alone. */
export function permits(caller: Caller, inode: Inode, wanted: number): boolean {
  if (isRoot(caller)) {
    return (wanted & may.execute) === 0 || isDirectory(inode) || (inode.mode & 0o111) !== 0;
  }
  const shift = caller.uid === inode.uid ? 6 : isInGroup(caller, inode.gid) ? 3 : 0;
  return ((inode.mode >> shift) & wanted) === wanted;
}

export function require(caller: Caller, inode: Inode, wanted: number): void {
  if (!permits(caller, inode, wanted)) throw new FileSystemError("EACCES");
}

export function requireReadable(caller: Caller, file: Inode): void {
  if (isOwner(caller, file) || permits(caller, file, may.read) || permits(caller, file, may.execute)) return;
  throw new FileSystemError("EACCES");
}

export function requireWritable(caller: Caller, file: Inode): void {
  if (!isOwner(caller, file)) require(caller, file, may.write);
}

/** Removing or renaming an entry: write permission on the directory, and its sticky bit. */
export function requireDeletable(caller: Caller, directory: Inode, victim: Inode): void {
  require(caller, directory, may.write | may.execute);
  const sticky = (directory.mode & 0o1000) !== 0;
  if (sticky && !isOwner(caller, directory) && !isOwner(caller, victim)) throw new FileSystemError("EPERM");
}

/** The part of a change that asks who the caller is; says nothing about sizes and types. */
export function requireChangeable(caller: Caller, inode: Inode, change: AttributeChange): void {
  const owner = isOwner(caller, inode);
  if (change.mode !== undefined && !owner) throw new FileSystemError("EPERM");
  requireChownable(caller, inode, change);
  for (const time of [change.accessed, change.modified]) {
    if (time === undefined || owner) continue;
    if (time !== "now") throw new FileSystemError("EPERM");
    require(caller, inode, may.write);
  }
  if (change.size !== undefined) requireWritable(caller, inode);
}

/** Only root gives files away; an owner may choose among its own groups. */
export function requireChownable(
  caller: Caller,
  inode: { uid: number; gid: number },
  change: { uid?: number; gid?: number },
): void {
  if (isRoot(caller)) return;
  const { uid, gid } = change;
  const owner = caller.uid === inode.uid;
  if (uid !== undefined && !(owner && uid === inode.uid)) throw new FileSystemError("EPERM");
  if (gid !== undefined && !(owner && (gid === inode.gid || isInGroup(caller, gid))))
    throw new FileSystemError("EPERM");
}

/** The mode that chmod leaves: set-group-ID is for members of the file's (new) group. */
export function modeAfterChmod(caller: Caller, mode: number, gid: number): number {
  return isRoot(caller) || isInGroup(caller, gid) ? mode : mode & ~0o2000;
}

/** The mode after chown, which takes set-ID bits even from root's files; set-group-ID without group execute is a lock mark. */
export function modeAfterChown(caller: Caller, inode: { mode: number; gid: number }): number {
  if (isDirectory(inode)) return inode.mode;
  const executable = (inode.mode & 0o010) !== 0;
  const drops = executable || !(isRoot(caller) || isInGroup(caller, inode.gid));
  return inode.mode & ~0o4000 & ~(drops ? 0o2000 : 0);
}

/** The mode after a write or truncate: only root's keeps set-ID bits. */
export function modeAfterWrite(caller: Caller, inode: Inode): number {
  return isRoot(caller) ? inode.mode : modeAfterChown(caller, inode);
}

/** xattr(7). */
export function requireExtended(caller: Caller, inode: Inode, name: Name, wanted: number): void {
  const writes = wanted === may.write;
  if (name.startsWith("trusted.") && !isRoot(caller)) throw new FileSystemError(writes ? "EPERM" : "ENODATA");
  if (name.startsWith("security.") && writes && !isRoot(caller)) throw new FileSystemError("EPERM");
  if (!name.startsWith("user.")) return;
  if (typeOf(inode) !== FileType.regular && !isDirectory(inode)) {
    throw new FileSystemError(writes ? "EPERM" : "ENODATA");
  }
  const sticky = isDirectory(inode) && (inode.mode & 0o1000) !== 0;
  if (writes && sticky && !isOwner(caller, inode)) throw new FileSystemError("EPERM");
  require(caller, inode, wanted);
}
