/** CREATE, MKDIR, SYMLINK, MKNOD, LINK: new names. */
import { FileSystemError } from "../errors.ts";
import {
  type AttributeChange,
  type Caller,
  type CreateMode,
  type FileId,
  FileType,
  type Name,
} from "../file-system.ts";
import { setAttributes } from "./changing-attributes.ts";
import type { UnionCore } from "./core.ts";
import { isDirectory, isRegular, Permission, requireName, requirePermission } from "./permissions.ts";
import type { StackedDirectory } from "./stack.ts";

const maxLinks = 65_000;
const maxTargetBytes = 4095;

export interface NewInode {
  /** File type and default permissions. */
  readonly mode: number;
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
  const directory = openForEntry(core, caller, id, name);
  const known = core.findEntry(directory, name);
  if (known === undefined) {
    const verifier = mode.kind === "exclusive" ? mode.verifier : undefined;
    return createInode(core, caller, directory, name, change, { mode: FileType.regular | 0o644, verifier });
  }
  if (mode.kind === "guarded") throw new FileSystemError("EEXIST");
  const attributes = core.attributes(known);
  if (mode.kind === "exclusive") {
    if (core.journal.state.inodes.get(known)?.verifier !== mode.verifier) throw new FileSystemError("EEXIST");
    return known;
  }
  if (!isRegular(attributes.mode)) throw new FileSystemError(isDirectory(attributes.mode) ? "EISDIR" : "EEXIST");
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
  inode: NewInode,
): FileId {
  const directory = openForEntry(core, caller, id, name);
  if (core.findEntry(directory, name) !== undefined) throw new FileSystemError("EEXIST");
  if (inode.target !== undefined) {
    if (inode.target.length === 0) throw new FileSystemError("ENOENT");
    if (inode.target.length > maxTargetBytes) throw new FileSystemError("ENAMETOOLONG");
    if (inode.target.includes("\0")) throw new FileSystemError("EINVAL");
  }
  return createInode(core, caller, directory, name, change, inode);
}

export function linkEntry(core: UnionCore, caller: Caller, id: FileId, directoryId: FileId, name: Name): void {
  const attributes = core.attributes(id);
  const directory = openForEntry(core, caller, directoryId, name);
  if (core.findEntry(directory, name) !== undefined) throw new FileSystemError("EEXIST");
  requirePermission(caller, core.attributes(directoryId), Permission.write | Permission.execute);
  if (isDirectory(attributes.mode)) throw new FileSystemError("EPERM");
  if (attributes.links >= maxLinks) throw new FileSystemError("EMLINK");
  const time = core.clock();
  const inode = core.copyUp(id);
  core.put(inode, { links: inode.links + 1, changed: time });
  core.enter(directory, name, id, 0, time);
}

/** The directory for a new name. Whether the name exists is told before whether it may be made, as Linux does. */
function openForEntry(core: UnionCore, caller: Caller, id: FileId, name: Name): StackedDirectory {
  const directory = core.directory(id);
  requirePermission(caller, core.attributes(id), Permission.execute);
  requireName(name);
  if (name === "." || name === "..") throw new FileSystemError("EEXIST");
  core.parent(id);
  return directory;
}

function createInode(
  core: UnionCore,
  caller: Caller,
  directory: StackedDirectory,
  name: Name,
  change: AttributeChange,
  made: NewInode,
): FileId {
  const above = core.attributes(directory.id);
  requirePermission(caller, above, Permission.write | Permission.execute);
  const isNewDirectory = isDirectory(made.mode);
  const inheritsGroup = (above.mode & 0o2000) !== 0;
  const gid = inheritsGroup ? above.gid : caller.gid;
  let mode = (made.mode & FileType.mask) | ((change.mode ?? made.mode) & 0o7777);
  if (inheritsGroup && isNewDirectory) mode |= 0o2000;
  if (caller.uid !== 0 && isRegular(mode) && gid !== caller.gid && !caller.groups.includes(gid)) mode &= ~0o2000;
  if (caller.uid !== 0 && change.uid !== undefined && change.uid !== caller.uid) throw new FileSystemError("EPERM");
  if (caller.uid !== 0 && change.gid !== undefined && change.gid !== gid && !caller.groups.includes(change.gid))
    throw new FileSystemError("EPERM");
  const time = core.clock();
  const id = core.journal.allocateInode();
  const target = made.target ?? "";
  core.journal.apply({
    kind: "put",
    inode: {
      id,
      mode,
      links: isNewDirectory ? 0 : 1,
      uid: change.uid ?? caller.uid,
      gid: change.gid ?? gid,
      size: isRegular(mode) ? (change.size ?? 0) : target.length,
      deviceMajor: made.deviceMajor ?? 0,
      deviceMinor: made.deviceMinor ?? 0,
      accessed: change.accessed === undefined || change.accessed === "now" ? time : change.accessed,
      modified: change.modified === undefined || change.modified === "now" ? time : change.modified,
      changed: time,
      parent: isNewDirectory ? directory.id : 0,
      target,
      verifier: made.verifier,
    },
  });
  core.enter(directory, name, id, isNewDirectory ? 1 : 0, time);
  return id;
}
