/** SETATTR: chmod(2), chown(2), utimensat(2), truncate(2), errno for errno. */
import { FileSystemError } from "../errors.ts";
import type { AttributeChange, Caller, FileId, Time } from "../file-system.ts";
import { exactSize, FileType } from "../file-system.ts";
import { toOffset } from "../offsets.ts";
import type { UnionCore } from "./core.ts";
import { dropCapabilities } from "./extended-attributes.ts";
import {
  isDirectory,
  isOwner,
  isSymlink,
  modeAfterChmod,
  modeAfterChown,
  modeAfterWrite,
  requireChownable,
  requireTimesSettable,
  requireWritable,
} from "./permissions.ts";
import { requireRegular } from "./reading.ts";
import { findThrough, setThrough } from "./through.ts";
import { requireValidChange } from "./values.ts";

export function setAttributes(core: UnionCore, caller: Caller, id: FileId, change: AttributeChange): void {
  const before = core.attributes(id);
  requireValidChange(change);
  const { mode, uid, gid, accessed, modified } = change;
  const size = change.size === undefined ? undefined : toOffset(change.size);
  if (size !== undefined) requireRegular(before.mode);
  // chmod(2) of a symlink itself: what Linux answers since 6.6.
  if (mode !== undefined && isSymlink(before.mode)) throw new FileSystemError("ENOTSUP");
  const through = findThrough(core, id);
  if (through === undefined) core.requireOwn(id, before.mode);
  if (mode !== undefined && !isOwner(caller, before)) throw new FileSystemError("EPERM");
  requireChownable(caller, before, change);
  requireTimesSettable(caller, before, change);
  if (size !== undefined) requireWritable(caller, before);
  if (Object.values(change).every((value) => value === undefined)) return;
  if (through !== undefined) {
    const after = modeAfter(caller, before, change);
    setThrough(core, through, { ...change, mode: after === before.mode ? undefined : after & 0o7777 });
  }
  core.requireCopyUp(id);
  const shorter = typeof size === "number" && size < exactSize(before);
  // What makes room is never refused for want of it.
  if (!shorter && core.find(id) === undefined) core.journal.room.require(0, 1);

  const time = core.clock();
  const chosen = (wanted: Time | "now" | undefined, kept: Time): Time => (wanted === "now" ? time : (wanted ?? kept));
  const fields = {
    mode: modeAfter(caller, before, change),
    uid: uid ?? before.uid,
    gid: gid ?? before.gid,
    size: typeof size === "bigint" ? Number.MAX_SAFE_INTEGER : (size ?? before.size),
    accessed: chosen(accessed, before.accessed),
    modified: chosen(modified, size === undefined ? before.modified : time),
    changed: time,
    verifier: undefined,
  };
  const inode = core.copyUp(id);
  if (typeof size === "bigint") core.journal.apply({ kind: "large", id, size });
  else if (shorter) core.journal.apply({ kind: "cut", id, size });
  if (size !== undefined || ((uid !== undefined || gid !== undefined) && !isDirectory(inode.mode)))
    dropCapabilities(core, inode);
  core.put(inode, fields);
  if (size !== undefined) core.noteContent(id, time);
}

function modeAfter(caller: Caller, before: { mode: number; uid: number; gid: number }, change: AttributeChange) {
  const { gid } = before;
  let { mode } = before;
  if (change.mode !== undefined)
    mode = (mode & FileType.mask) | modeAfterChmod(caller, change.mode, change.gid ?? before.gid);
  else if (change.size !== undefined) mode = modeAfterWrite(caller, before);
  return change.uid === undefined && change.gid === undefined ? mode : modeAfterChown(caller, { mode, gid });
}
