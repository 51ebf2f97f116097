/** What a new inode starts with, and which numbers a change may hold. */
import { FileSystemError } from "../../../cowfs/errors.ts";
import { type AttributeChange, type Caller, FileType, type Time } from "../../../cowfs/file-system.ts";
import { checkSize } from "./content.ts";
import type { Inode } from "./inode.ts";
import { isInGroup, isRoot, requireChownable } from "./rules.ts";

/**
 * A set-group-ID directory gives its group to what is made in it, and its bit to directories. There, a file of another
 * group's keeps no set-group-ID for someone who is no member. The caller may ask for other owners as far as it could chown.
 */
export function newOwnership(
  caller: Caller,
  directory: Inode,
  type: number,
  change: AttributeChange,
): { mode: number; uid: number; gid: number } {
  const inherits = (directory.mode & 0o2000) !== 0;
  const owner = { uid: caller.uid, gid: inherits ? directory.gid : caller.gid };
  requireChownable(caller, owner, change);
  const uid = change.uid ?? owner.uid;
  const gid = change.gid ?? owner.gid;
  let mode = change.mode ?? 0;
  if (type === FileType.directory) mode = (mode & 0o1777) | (inherits ? 0o2000 : 0);
  else if ((mode & 0o2010) === 0o2010 && !isRoot(caller) && !isInGroup(caller, gid)) mode &= ~0o2000;
  if (type === FileType.symlink) mode = 0o777;
  return { mode: type | mode, uid, gid };
}

export function checkChange(change: AttributeChange): void {
  if (change.mode !== undefined && (change.mode & ~0o7777) !== 0) throw new FileSystemError("EINVAL");
  for (const id of [change.uid, change.gid]) {
    // 2^32 - 1 means "leave it" in chown(2) and owns nothing.
    if (id !== undefined && !(Number.isInteger(id) && id >= 0 && id < 0xffffffff)) throw new FileSystemError("EINVAL");
  }
  if (change.size !== undefined) checkSize(change.size);
  for (const time of [change.accessed, change.modified]) if (time !== undefined && time !== "now") checkTime(time);
}

function checkTime({ seconds, nanoseconds }: Time): void {
  const valid = Number.isSafeInteger(seconds) && Number.isInteger(nanoseconds) && nanoseconds >= 0 && nanoseconds < 1e9;
  if (!valid) throw new FileSystemError("EINVAL");
}
