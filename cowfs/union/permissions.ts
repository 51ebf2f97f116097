/** Who may do what: the checks of POSIX and Linux (path_resolution(7), chmod(2), unlink(2)), errno for errno. */
import { FileSystemError } from "../errors.ts";
import { type AttributeChange, type Caller, FileType } from "../file-system.ts";

export const Permission = { read: 4, write: 2, execute: 1 } as const;

interface Owned {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

export function isDirectory(mode: number): boolean {
  return (mode & FileType.mask) === FileType.directory;
}

export function isRegular(mode: number): boolean {
  return (mode & FileType.mask) === FileType.regular;
}

export function isSymlink(mode: number): boolean {
  return (mode & FileType.mask) === FileType.symlink;
}

export function isOwner(caller: Caller, inode: Owned): boolean {
  return caller.uid === 0 || caller.uid === inode.uid;
}

export function isMember(caller: Caller, gid: number): boolean {
  return caller.gid === gid || caller.groups.includes(gid);
}

/** Root passes all but the execution of a file that nobody may execute. */
export function permits(caller: Caller, inode: Owned, wanted: number): boolean {
  if (caller.uid === 0)
    return (wanted & Permission.execute) === 0 || isDirectory(inode.mode) || (inode.mode & 0o111) !== 0;
  let shift = 0;
  if (caller.uid === inode.uid) shift = 6;
  else if (isMember(caller, inode.gid)) shift = 3;
  return ((inode.mode >> shift) & wanted) === wanted;
}

export function requirePermission(caller: Caller, inode: Owned, wanted: number): void {
  if (!permits(caller, inode, wanted)) throw new FileSystemError("EACCES");
}

/**
 * An owner may read whatever the mode says, and whoever may execute may read: the client has checked at open, and the
 * NFS server sees no open (RFC 1813 section 4.4).
 */
export function requireReadable(caller: Caller, file: Owned): void {
  if (isOwner(caller, file) || permits(caller, file, Permission.read)) return;
  requirePermission(caller, file, Permission.execute);
}

/** An owner may write whatever the mode says, for the same reason. */
export function requireWritable(caller: Caller, file: Owned): void {
  if (!isOwner(caller, file)) requirePermission(caller, file, Permission.write);
}

/** unlink(2), rename(2): in a sticky directory only the owner of the entry, of the directory, or root may. */
export function requireDeletable(caller: Caller, directory: Owned, entry: Owned): void {
  requirePermission(caller, directory, Permission.write | Permission.execute);
  if ((directory.mode & 0o1000) === 0 || isOwner(caller, entry) || isOwner(caller, directory)) return;
  throw new FileSystemError("EPERM");
}

/** chown(2): only root gives files away; an owner may choose among its own groups. */
export function requireChownable(caller: Caller, inode: { uid: number; gid: number }, change: AttributeChange): void {
  if (caller.uid === 0) return;
  const { uid, gid } = change;
  const owner = caller.uid === inode.uid;
  if (uid !== undefined && !(owner && uid === inode.uid)) throw new FileSystemError("EPERM");
  if (gid !== undefined && !(owner && (gid === inode.gid || isMember(caller, gid)))) throw new FileSystemError("EPERM");
}

/** utimensat(2): a time of one's choice is the owner's to set; "now" is allowed to whoever may write. */
export function requireTimesSettable(caller: Caller, inode: Owned, change: AttributeChange): void {
  if (isOwner(caller, inode)) return;
  for (const time of [change.accessed, change.modified]) {
    if (time === undefined) continue;
    if (time !== "now") throw new FileSystemError("EPERM");
    requirePermission(caller, inode, Permission.write);
  }
}

/** The mode that chmod(2) leaves: set-group-ID is for members of the file's (new) group. */
export function modeAfterChmod(caller: Caller, mode: number, gid: number): number {
  return caller.uid === 0 || isMember(caller, gid) ? mode : mode & ~0o2000;
}

/**
 * The mode after chown(2), which takes set-ID bits also from root's files. Set-group-ID without group execution marks
 * mandatory locking and stays for a member of the group.
 */
export function modeAfterChown(caller: Caller, { mode, gid }: { mode: number; gid: number }): number {
  if (isDirectory(mode)) return mode;
  const drops = (mode & 0o010) !== 0 || !(caller.uid === 0 || isMember(caller, gid));
  return mode & ~0o4000 & ~(drops ? 0o2000 : 0);
}

/** The mode after a write or a truncation: only root's keeps set-ID bits. */
export function modeAfterWrite(caller: Caller, inode: Owned): number {
  return caller.uid === 0 ? inode.mode : modeAfterChown(caller, inode);
}
