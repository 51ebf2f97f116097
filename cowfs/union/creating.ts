/** CREATE, MKDIR, SYMLINK, MKNOD, LINK: new names. What exists is told before what may not be made, as Linux does. */
import { FileSystemError } from "../errors.ts";
import {
  type AttributeChange,
  type Caller,
  type CreateMode,
  type FileId,
  FileType,
  type Name,
} from "../file-system.ts";
import { type Offset, toOffset } from "../offsets.ts";
import { setAttributes } from "./changing-attributes.ts";
import type { UnionCore } from "./core.ts";
import { isDirectory, isMember, isRegular, Permission, requireChownable, requirePermission } from "./permissions.ts";
import type { StackedDirectory } from "./stack.ts";
import { chooseTarget, createThrough, findThrough, linkThrough } from "./through.ts";
import { isDots, requireDeviceNumber, requireName, requireTarget, requireValidChange } from "./values.ts";

/** As ext4; a directory's subdirectories are not counted against it. */
const maxLinks = 65_000;

export interface NewInode {
  /** One of the S_IFMT bits. */
  readonly type: number;
  readonly deviceMajor?: number;
  readonly deviceMinor?: number;
  readonly target?: Name;
  readonly verifier?: bigint;
}

export function createFile(
  core: UnionCore,
  caller: Caller,
  id: FileId,
  name: Name,
  change: AttributeChange,
  mode: CreateMode,
): FileId {
  const directory = openToSearch(core, caller, id, name);
  const known = isDots(name) ? id : core.findEntry(directory, name);
  if (known === undefined) {
    const verifier = mode.kind === "exclusive" ? mode.verifier : undefined;
    return createInode(core, caller, directory, name, change, { type: FileType.regular, verifier });
  }
  if (mode.kind === "exclusive" && core.find(known)?.verifier === mode.verifier) return known;
  if (mode.kind !== "unchecked") throw new FileSystemError("EEXIST");
  const attributes = core.attributes(known);
  if (!isRegular(attributes.mode)) throw new FileSystemError(isDirectory(attributes.mode) ? "EISDIR" : "EEXIST");
  core.operations.expect(known);
  if (change.size !== undefined) setAttributes(core, caller, known, { size: change.size });
  return known;
}

/** Makes an inode of any type under a name that must not exist. */
export function createEntry(
  core: UnionCore,
  caller: Caller,
  id: FileId,
  name: Name,
  change: AttributeChange,
  made: NewInode,
): FileId {
  if (made.target !== undefined) requireTarget(made.target);
  const directory = openToSearch(core, caller, id, name);
  if (isDots(name) || core.findEntry(directory, name) !== undefined) throw new FileSystemError("EEXIST");
  return createInode(core, caller, directory, name, change, made);
}

export function linkEntry(core: UnionCore, caller: Caller, id: FileId, directoryId: FileId, name: Name): void {
  const { mode, links } = core.attributes(id);
  const directory = openToSearch(core, caller, directoryId, name);
  if (isDots(name) || core.findEntry(directory, name) !== undefined) throw new FileSystemError("EEXIST");
  const [linked, through] = [findThrough(core, id), chooseTarget(core, directory, name)];
  if (!isDirectory(mode) && linked === undefined) core.requireOwn(id, mode);
  requireExtensible(core, caller, directoryId);
  if (isDirectory(mode)) throw new FileSystemError("EPERM");
  if (links === 0) throw new FileSystemError("ENOENT");
  if (links >= maxLinks) throw new FileSystemError("EMLINK");
  if (linked !== undefined || through !== undefined) {
    linkThrough(core, linked, through, name);
  }
  core.journal.room.require(0, 0);
  const time = core.clock();
  core.put(core.copyUp(id), { links: links + 1, changed: time });
  core.enter(directory, name, id, 0, time);
}

/** A directory in which the caller may look for a name. */
export function openToSearch(core: UnionCore, caller: Caller, id: FileId, name: Name): StackedDirectory {
  const directory = core.directory(id);
  requirePermission(caller, core.attributes(id), Permission.execute);
  requireName(name);
  core.requireCopyUp(id);
  return directory;
}

/** Nothing is made in a directory that was removed while somebody had it open. */
export function requireExtensible(core: UnionCore, caller: Caller, directory: FileId): void {
  if (core.isRemoved(directory)) throw new FileSystemError("ENOENT");
  requirePermission(caller, core.attributes(directory), Permission.write | Permission.execute);
}

function createInode(
  core: UnionCore,
  caller: Caller,
  directory: StackedDirectory,
  name: Name,
  change: AttributeChange,
  { type, deviceMajor = 0, deviceMinor = 0, target = "", verifier }: NewInode,
): FileId {
  const through = chooseTarget(core, directory, name);
  requireExtensible(core, caller, directory.id);
  if ((type === FileType.block || type === FileType.character) && caller.uid !== 0) throw new FileSystemError("EPERM");
  requireValidChange(change);
  requireDeviceNumber(deviceMajor);
  requireDeviceNumber(deviceMinor);
  const ownership = ownershipOf(caller, core.attributes(directory.id), type, change);
  if (through !== undefined) return createThrough(core, through, name, { ...ownership, target });
  core.journal.room.require(target.length, 1);
  const time = core.clock();
  const { accessed = "now", modified = "now" } = change;
  const size = toOffset(change.size ?? 0);
  const id = core.journal.allocateInode();
  core.journal.apply({
    kind: "put",
    inode: {
      id,
      ...ownership,
      links: type === FileType.directory ? 0 : 1,
      size: type === FileType.regular ? smallSize(size) : target.length,
      deviceMajor,
      deviceMinor,
      accessed: accessed === "now" ? time : accessed,
      modified: modified === "now" ? time : modified,
      changed: time,
      parent: type === FileType.directory ? directory.id : 0,
      target,
      verifier,
    },
  });
  if (type === FileType.regular && typeof size === "bigint") core.journal.apply({ kind: "large", id, size });
  if (type === FileType.directory) core.mergeByName(id, directory, name);
  core.enter(directory, name, id, type === FileType.directory ? 1 : 0, time);
  return id;
}

function smallSize(size: Offset): number {
  return typeof size === "bigint" ? Number.MAX_SAFE_INTEGER : size;
}

/**
 * A set-group-ID directory gives its group to what is made in it, and its bit to directories; there, an executable of
 * another group's keeps no set-group-ID for someone who is no member. Others than the caller own it as far as the
 * caller could chown it.
 */
function ownershipOf(caller: Caller, above: { mode: number; gid: number }, type: number, change: AttributeChange) {
  const inherits = (above.mode & 0o2000) !== 0;
  const owner = { uid: caller.uid, gid: inherits ? above.gid : caller.gid };
  requireChownable(caller, owner, change);
  const { uid = owner.uid, gid = owner.gid } = change;
  let { mode = 0 } = change;
  if (type === FileType.directory) mode = (mode & 0o1777) | (inherits ? 0o2000 : 0);
  else if ((mode & 0o2010) === 0o2010 && caller.uid !== 0 && !isMember(caller, gid)) mode &= ~0o2000;
  if (type === FileType.symlink) mode = 0o777;
  return { mode: type | mode, uid, gid };
}
