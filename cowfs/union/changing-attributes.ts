/** SETATTR and extended attributes: chmod(2), chown(2), utimensat(2), truncate(2), xattr(7), errno for errno. */
import { FileSystemError } from "../errors.ts";
import type { AttributeChange, Caller, FileId, Name, Time } from "../file-system.ts";
import { FileType } from "../file-system.ts";
import type { InodeFields } from "../journals/state.ts";
import type { UnionCore } from "./core.ts";
import { isDirectory, isMember, isRegular, Permission, requirePermission } from "./permissions.ts";
import { readExtendedAttributes, requireRegular } from "./reading.ts";

/** The largest file: offsets are exact in a double up to here. */
export const maxFileBytes = Number.MAX_SAFE_INTEGER;

const maxAttributeBytes = 64 * 1024;
const maxAttributes = 256;

export function setAttributes(core: UnionCore, caller: Caller, id: FileId, change: AttributeChange): void {
  const before = core.attributes(id);
  const owner = caller.uid === 0 || caller.uid === before.uid;
  if (isDirectory(before.mode)) core.parent(id);
  // chmod(2) of a symlink itself: what Linux answers since 6.6.
  if (change.mode !== undefined && (before.mode & FileType.mask) === FileType.symlink)
    throw new FileSystemError("ENOTSUP");
  if (change.mode !== undefined && !owner) throw new FileSystemError("EPERM");
  requireChown(caller, before, change);
  requireTimes(caller, before, change, owner);
  if (change.size !== undefined) {
    requireRegular(before.mode);
    if (change.size < 0 || change.size > maxFileBytes) throw new FileSystemError("EFBIG");
    if (!owner) requirePermission(caller, before, Permission.write);
  }

  const time = core.clock();
  const fields: Partial<InodeFields> = { changed: time };
  let mode = before.mode;
  if (change.uid !== undefined || change.gid !== undefined) mode = dropPrivileges(mode);
  if (change.size !== undefined && change.size !== before.size && caller.uid !== 0) mode = dropPrivileges(mode);
  if (change.mode !== undefined) {
    mode = (mode & FileType.mask) | (change.mode & 0o7777);
    if (caller.uid !== 0 && isRegular(mode) && !isMember(caller, change.gid ?? before.gid)) mode &= ~0o2000;
  }
  fields.mode = mode;
  if (change.uid !== undefined) fields.uid = change.uid;
  if (change.gid !== undefined) fields.gid = change.gid;
  if (change.accessed !== undefined) fields.accessed = change.accessed === "now" ? time : change.accessed;
  if (change.modified !== undefined) fields.modified = change.modified === "now" ? time : change.modified;
  else if (change.size !== undefined) fields.modified = time;

  const inode = core.copyUp(id);
  if (change.size !== undefined) {
    if (change.size < before.size) core.journal.apply({ kind: "cut", id, size: change.size });
    fields.size = change.size;
    core.noteContent(id);
  }
  core.put(inode, fields);
}

/** Writing or giving away a file takes setuid off, and setgid where the group may execute (chown(2), write(2)). */
export function dropPrivileges(mode: number): number {
  if (!isRegular(mode)) return mode;
  const setgid = (mode & 0o2010) === 0o2010 ? 0o2000 : 0;
  return mode & ~(0o4000 | setgid);
}

export function setExtendedAttribute(
  core: UnionCore,
  caller: Caller,
  id: FileId,
  name: Name,
  value: Buffer,
  mode: "any" | "create" | "replace",
): void {
  requireAttributeAccess(core, caller, id, name);
  if (value.length > maxAttributeBytes) throw new FileSystemError("ERANGE");
  const values = new Map(readExtendedAttributes(core, id));
  if (mode === "create" && values.has(name)) throw new FileSystemError("EEXIST");
  if (mode === "replace" && !values.has(name)) throw new FileSystemError("ENODATA");
  if (!values.has(name) && values.size >= maxAttributes) throw new FileSystemError("ENOSPC");
  replaceAttributes(core, id, values.set(name, Buffer.from(value)));
}

export function removeExtendedAttribute(core: UnionCore, caller: Caller, id: FileId, name: Name): void {
  requireAttributeAccess(core, caller, id, name);
  const values = new Map(readExtendedAttributes(core, id));
  if (!values.delete(name)) throw new FileSystemError("ENODATA");
  replaceAttributes(core, id, values);
}

export function getExtendedAttribute(core: UnionCore, caller: Caller, id: FileId, name: Name): Buffer {
  const values = readExtendedAttributes(core, id);
  if (name.startsWith("user.")) requirePermission(caller, core.attributes(id), Permission.read);
  if (name.startsWith("trusted.") && caller.uid !== 0) throw new FileSystemError("ENODATA");
  const value = values.get(name);
  if (value === undefined) throw new FileSystemError("ENODATA");
  return value;
}

function replaceAttributes(core: UnionCore, id: FileId, values: ReadonlyMap<Name, Buffer>): void {
  const time: Time = core.clock();
  const inode = core.copyUp(id);
  core.journal.apply({ kind: "attributes", id, values });
  core.put(inode, { changed: time });
}

/** xattr(7): `user.` follows the file's permissions, on files and directories; the others are root's. */
function requireAttributeAccess(core: UnionCore, caller: Caller, id: FileId, name: Name): void {
  const attributes = core.attributes(id);
  if (isDirectory(attributes.mode)) core.parent(id);
  if (name.length > 255) throw new FileSystemError("ERANGE");
  if (name.startsWith("user.")) {
    if (!isRegular(attributes.mode) && !isDirectory(attributes.mode)) throw new FileSystemError("EPERM");
    return requirePermission(caller, attributes, Permission.write);
  }
  if (!name.startsWith("trusted.") && !name.startsWith("security.")) throw new FileSystemError("ENOTSUP");
  if (caller.uid !== 0) throw new FileSystemError("EPERM");
}

function requireChown(caller: Caller, before: { uid: number; gid: number }, change: AttributeChange): void {
  if (caller.uid === 0) return;
  if (change.uid !== undefined && (change.uid !== before.uid || caller.uid !== before.uid))
    throw new FileSystemError("EPERM");
  if (change.gid !== undefined && (caller.uid !== before.uid || !isMember(caller, change.gid)))
    throw new FileSystemError("EPERM");
}

/** utimensat(2): given times are the owner's to set; "now" for both is allowed to whoever may write. */
function requireTimes(
  caller: Caller,
  before: { mode: number; uid: number; gid: number },
  change: AttributeChange,
  owner: boolean,
): void {
  if (owner || (change.accessed === undefined && change.modified === undefined)) return;
  const given = (time: Time | "now" | undefined): boolean => time !== undefined && time !== "now";
  if (given(change.accessed) || given(change.modified)) throw new FileSystemError("EPERM");
  requirePermission(caller, before, Permission.write);
}
