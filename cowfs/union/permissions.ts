/** Who may do what: the checks of POSIX and Linux (path_resolution(7), chmod(2), unlink(2)), errno for errno. */
import { FileSystemError } from "../errors.ts";
import { type Caller, FileType, type Name } from "../file-system.ts";

export const Permission = { read: 4, write: 2, execute: 1 } as const;

export const maxNameBytes = 255;

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

export function isMember(caller: Caller, gid: number): boolean {
  return caller.gid === gid || caller.groups.includes(gid);
}

/** Root passes all but the execution of a file that nobody may execute. */
export function permits(caller: Caller, inode: Owned, wanted: number): boolean {
  if (caller.uid === 0) {
    const runs = (wanted & Permission.execute) === 0 || isDirectory(inode.mode) || (inode.mode & 0o111) !== 0;
    return runs;
  }
  let shift = 0;
  if (caller.uid === inode.uid) shift = 6;
  else if (isMember(caller, inode.gid)) shift = 3;
  return ((inode.mode >> shift) & wanted) === wanted;
}

export function requirePermission(caller: Caller, inode: Owned, wanted: number): void {
  if (!permits(caller, inode, wanted)) throw new FileSystemError("EACCES");
}

/** unlink(2), rename(2): in a sticky directory only the owner of the entry, of the directory, or root may. */
export function requireDeletable(caller: Caller, directory: Owned, entry: Owned): void {
  requirePermission(caller, directory, Permission.write | Permission.execute);
  if ((directory.mode & 0o1000) === 0 || caller.uid === 0) return;
  if (caller.uid !== entry.uid && caller.uid !== directory.uid) throw new FileSystemError("EPERM");
}

/** A name that an entry can have: names come from clients. */
export function requireName(name: Name): void {
  if (name.length === 0) throw new FileSystemError("ENOENT");
  if (name.length > maxNameBytes) throw new FileSystemError("ENAMETOOLONG");
  if (name.includes("/") || name.includes("\0")) throw new FileSystemError("EINVAL");
}
