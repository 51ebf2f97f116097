/** Extended attributes, by the rules of xattr(7). The journal keeps what differs from the layer below, name by name. */
import { FileSystemError } from "../errors.ts";
import type { Caller, FileId, Name } from "../file-system.ts";
import type { JournalInode } from "../journals/state.ts";
import type { UnionCore } from "./core.ts";
import { slotOf } from "./file-ids.ts";
import { isDirectory, isOwner, isRegular, Permission, requirePermission } from "./permissions.ts";

/** As Linux (XATTR_SIZE_MAX, XATTR_NAME_MAX); so many of the longest names fill XATTR_LIST_MAX. */
const maxValueBytes = 65_536;
const maxNameBytes = 255;
const maxCount = 256;

const namespaces: readonly Name[] = ["user", "trusted", "security"];
const capability: Name = "security.capability";

/** All extended attributes of an inode, whoever asks. */
export function readExtendedAttributes(core: UnionCore, id: FileId): ReadonlyMap<Name, Buffer> {
  const own = core.find(id)?.extendedAttributes;
  if (own === undefined) return lowerAttributes(core, id);
  const merged = new Map(lowerAttributes(core, id));
  for (const [name, value] of own)
    if (value === undefined) merged.delete(name);
    else merged.set(name, value);
  return merged;
}

export function getExtendedAttribute(core: UnionCore, caller: Caller, id: FileId, name: Name): Buffer {
  requireAccess(core, caller, id, name, Permission.read);
  const value = readExtendedAttributes(core, id).get(name);
  if (value === undefined) throw new FileSystemError("ENODATA");
  return Buffer.from(value);
}

export function listExtendedAttributes(core: UnionCore, caller: Caller, id: FileId): Name[] {
  const names = [...readExtendedAttributes(core, id).keys()].sort();
  return caller.uid === 0 ? names : names.filter((name) => !name.startsWith("trusted."));
}

export function setExtendedAttribute(
  core: UnionCore,
  caller: Caller,
  id: FileId,
  name: Name,
  value: Buffer,
  mode: "any" | "create" | "replace",
): void {
  requireAccess(core, caller, id, name, Permission.write);
  if (value.length > maxValueBytes) throw new FileSystemError("ERANGE");
  const known = readExtendedAttributes(core, id);
  if (mode === "create" && known.has(name)) throw new FileSystemError("EEXIST");
  if (mode === "replace" && !known.has(name)) throw new FileSystemError("ENODATA");
  if (!known.has(name) && known.size >= maxCount) throw new FileSystemError("ENOSPC");
  core.journal.room.require(value.length, 0);
  change(core, id, name, Buffer.from(value));
}

export function removeExtendedAttribute(core: UnionCore, caller: Caller, id: FileId, name: Name): void {
  requireAccess(core, caller, id, name, Permission.write);
  if (!readExtendedAttributes(core, id).has(name)) throw new FileSystemError("ENODATA");
  change(core, id, name, undefined);
}

/** File capabilities never outlive a change of content or owner, not even one by root. Within a transaction. */
export function dropCapabilities(core: UnionCore, inode: JournalInode): void {
  const own = inode.extendedAttributes;
  const known = own?.has(capability)
    ? own.get(capability) !== undefined
    : lowerAttributes(core, inode.id).has(capability);
  if (known) core.journal.apply({ kind: "attribute", id: inode.id, name: capability, value: undefined });
}

const none: ReadonlyMap<Name, Buffer> = new Map();

function lowerAttributes(core: UnionCore, id: FileId): ReadonlyMap<Name, Buffer> {
  if (slotOf(id) === 0 || !core.stack.hasLayer(id)) return none;
  const { tree, inode } = core.stack.locate(id);
  return tree.extendedAttributes(inode);
}

function change(core: UnionCore, id: FileId, name: Name, value: Buffer | undefined): void {
  core.requireCopyUp(id);
  const inode = core.copyUp(id);
  core.journal.apply({ kind: "attribute", id, name, value });
  core.put(inode, { changed: core.clock() });
}

/** `user.` follows the file's permissions, on files and directories; the others are root's to write. */
function requireAccess(core: UnionCore, caller: Caller, id: FileId, name: Name, wanted: number): void {
  const inode = core.attributes(id);
  const writes = wanted === Permission.write;
  if (writes) core.requireOwn(id, inode.mode);
  if (name.length > maxNameBytes) throw new FileSystemError("ERANGE");
  const dot = name.indexOf(".");
  const namespace = name.slice(0, dot);
  if (!namespaces.includes(namespace)) throw new FileSystemError("ENOTSUP");
  if (dot === name.length - 1 || name.includes("\0")) throw new FileSystemError("EINVAL");
  if (namespace !== "user") {
    if (caller.uid === 0 || (namespace === "security" && !writes)) return;
    throw new FileSystemError(writes ? "EPERM" : "ENODATA");
  }
  if (!isRegular(inode.mode) && !isDirectory(inode.mode)) throw new FileSystemError(writes ? "EPERM" : "ENODATA");
  const sticky = isDirectory(inode.mode) && (inode.mode & 0o1000) !== 0;
  if (writes && sticky && !isOwner(caller, inode)) throw new FileSystemError("EPERM");
  requirePermission(caller, inode, wanted);
}
