/**
 * The reference file system. Each operation reads as the rule it is: find, check in the order in which Linux checks
 * (who asks first for ENOENT and EEXIST, then for permission), then change.
 *
 * Invariants: (M1) an operation that throws changed nothing, and so did the transaction it is in; (M2) identifiers and
 * cookies are never used twice; (M3) an entry that is replaced by rename keeps its cookie, so that a listing meets each
 * name that was there all the time exactly once; (M4) an inode lives while it has links or is retained.
 * Reading never changes access times, as on a file system mounted `noatime`.
 */
import { FileSystemError } from "../../../cowfs/errors.ts";
import { Fault, type Need } from "../../../cowfs/fault.ts";
import {
  Access,
  type AttributeChange,
  type Attributes,
  type Caller,
  type CreateMode,
  type DirectoryEntry,
  type FileId,
  type FileSystem,
  FileType,
  type Name,
  type Statistics,
  type Time,
} from "../../../cowfs/file-system.ts";
import type { Offset } from "../../../cowfs/offsets.ts";
import { checkSize, readContent, truncateContent, writeContent } from "./content.ts";
import { attributesOf, type Inode, isDirectory, typeOf } from "./inode.ts";
import { checkExtendedName, checkLinkTarget, checkName, isDots } from "./names.ts";
import { checkChange } from "./new-attributes.ts";
import type { ModelOptions } from "./options.ts";
import * as rules from "./rules.ts";
import { may } from "./rules.ts";
import { ModelState } from "./state.ts";

export type { ModelOptions } from "./options.ts";

const maxExtendedBytes = 65_536;

export function createModel(options: ModelOptions = {}): FileSystem {
  return new Model(options);
}

class Model extends ModelState implements FileSystem {
  getAttributes(id: FileId): Attributes {
    return attributesOf(this.inode(id));
  }

  lookup(caller: Caller, directoryId: FileId, name: Name): FileId {
    const directory = this.directory(directoryId);
    raiseFault(this.options.faultOnLookup?.(directoryId, name));
    rules.require(caller, directory, may.execute);
    checkName(name);
    if (name === ".") return directory.id;
    if (name === "..") return this.directory(directory.parent).id;
    return found(directory, name).id;
  }

  access(caller: Caller, id: FileId, mask: number): number {
    const inode = this.inode(id);
    const search = isDirectory(inode) ? Access.lookup : Access.execute;
    const change = Access.modify | Access.extend | (isDirectory(inode) ? Access.delete : 0);
    let granted = 0;
    if (rules.permits(caller, inode, may.read)) granted |= Access.read;
    if (rules.permits(caller, inode, may.write)) granted |= change;
    if (rules.permits(caller, inode, may.execute)) granted |= search;
    return granted & mask;
  }

  readLink(_caller: Caller, id: FileId): Name {
    const inode = this.inode(id);
    if (typeOf(inode) !== FileType.symlink) throw new FileSystemError("EINVAL");
    return inode.target;
  }

  read(caller: Caller, id: FileId, offset: Offset, length: number, target: Buffer, targetOffset: number): number {
    const file = this.file(id);
    rules.requireReadable(caller, file);
    checkSize(offset);
    raiseFault(this.options.faultOnRead?.(id, Number(offset), length));
    return readContent(file, offset, length, target, targetOffset);
  }

  list(caller: Caller, directoryId: FileId, cookie: number, limit: number): DirectoryEntry[] {
    const directory = this.directory(directoryId);
    rules.require(caller, directory, may.read);
    return [...directory.entries]
      .filter(([, entry]) => entry.cookie > cookie)
      .sort(([, a], [, b]) => a.cookie - b.cookie)
      .slice(0, limit)
      .map(([name, entry]) => ({ name, id: entry.inode.id, cookie: entry.cookie }));
  }

  statistics(): Statistics {
    const totalBytes = this.options.totalBytes ?? 2 ** 40;
    const freeBytes = totalBytes - this.usedBytes();
    const totalFiles = 2 ** 32;
    return { totalBytes, freeBytes, availableBytes: freeBytes, totalFiles, freeFiles: totalFiles - this.inodes.size };
  }

  setAttributes(caller: Caller, id: FileId, change: AttributeChange): void {
    const inode = this.inode(id);
    checkChange(change);
    if (change.size !== undefined) this.file(id);
    if (change.mode !== undefined && typeOf(inode) === FileType.symlink) throw new FileSystemError("ENOTSUP");
    rules.requireChangeable(caller, inode, change);
    const { mode, uid, gid, size, accessed, modified } = change;
    if (Object.values(change).every((value) => value === undefined)) return;

    const now = this.now();
    const chowns = uid !== undefined || gid !== undefined;
    const after = { mode: inode.mode, gid: inode.gid };
    if (mode !== undefined) after.mode = typeOf(inode) | rules.modeAfterChmod(caller, mode, gid ?? inode.gid);
    else if (size !== undefined) after.mode = rules.modeAfterWrite(caller, inode);
    if (chowns) after.mode = rules.modeAfterChown(caller, after);
    if ((chowns && !isDirectory(inode)) || size !== undefined) this.dropCapabilities(inode);
    if (size !== undefined) truncateContent(inode, checkSize(size), this.change());
    const setsTime = (time: Time | "now" | undefined, before: Time) => (time === "now" ? now : (time ?? before));
    this.change().assign(inode, {
      mode: after.mode,
      uid: uid ?? inode.uid,
      gid: gid ?? inode.gid,
      accessed: setsTime(accessed, inode.accessed),
      modified: setsTime(modified, size === undefined ? inode.modified : now),
      changed: now,
      verifier: undefined,
    });
  }

  write(caller: Caller, id: FileId, offset: Offset, data: Buffer): void {
    const file = this.file(id);
    rules.requireWritable(caller, file);
    checkSize(checkSize(offset) + BigInt(data.length));
    raiseFault(this.options.faultOnWrite?.(id, Number(offset), data.length));
    if (data.length === 0) return;
    this.requireSpace(file, Number(offset), data.length);
    this.dropCapabilities(file);
    writeContent(file, offset, data, this.change());
    const now = this.now();
    const mode = rules.modeAfterWrite(caller, file);
    this.change().assign(file, { mode, modified: now, changed: now, verifier: undefined });
  }

  createFile(caller: Caller, directoryId: FileId, name: Name, change: AttributeChange, mode: CreateMode): FileId {
    const existing = this.existing(caller, directoryId, name);
    if (existing !== undefined) {
      if (mode.kind === "exclusive" && existing.verifier === mode.verifier) return existing.id;
      if (mode.kind !== "unchecked") throw new FileSystemError("EEXIST");
      if (isDirectory(existing)) throw new FileSystemError("EISDIR");
      if (typeOf(existing) !== FileType.regular) throw new FileSystemError("EEXIST");
      if (change.size !== undefined) this.setAttributes(caller, existing.id, { size: change.size });
      return existing.id;
    }
    const verifier = mode.kind === "exclusive" ? mode.verifier : undefined;
    return this.create(caller, directoryId, name, FileType.regular, change, { verifier });
  }

  createDirectory(caller: Caller, directoryId: FileId, name: Name, change: AttributeChange): FileId {
    this.requireAbsent(caller, directoryId, name);
    return this.create(caller, directoryId, name, FileType.directory, change, {});
  }

  createSymlink(caller: Caller, directoryId: FileId, name: Name, target: Name, change: AttributeChange): FileId {
    checkLinkTarget(target);
    this.requireAbsent(caller, directoryId, name);
    return this.create(caller, directoryId, name, FileType.symlink, change, { target });
  }

  createSpecial(
    caller: Caller,
    directoryId: FileId,
    name: Name,
    type: number,
    deviceMajor: number,
    deviceMinor: number,
    change: AttributeChange,
  ): FileId {
    const isDevice = type === FileType.block || type === FileType.character;
    if (!isDevice && type !== FileType.fifo && type !== FileType.socket) throw new FileSystemError("EINVAL");
    this.requireAbsent(caller, directoryId, name);
    const device = isDevice ? { deviceMajor, deviceMinor } : {};
    return this.create(caller, directoryId, name, type, change, device);
  }

  removeFile(caller: Caller, directoryId: FileId, name: Name): void {
    const directory = this.searched(caller, directoryId, name);
    if (isDots(name)) throw new FileSystemError("EISDIR");
    const inode = found(directory, name);
    rules.requireDeletable(caller, directory, inode);
    if (isDirectory(inode)) throw new FileSystemError("EISDIR");
    this.unlinkEntry(directory, name, inode);
  }

  removeDirectory(caller: Caller, directoryId: FileId, name: Name): void {
    const parent = this.searched(caller, directoryId, name);
    if (name === ".") throw new FileSystemError("EINVAL");
    if (name === "..") throw new FileSystemError("ENOTEMPTY");
    const inode = found(parent, name);
    rules.requireDeletable(caller, parent, inode);
    if (!isDirectory(inode)) throw new FileSystemError("ENOTDIR");
    if (inode.entries.size > 0) throw new FileSystemError("ENOTEMPTY");
    this.unlinkEntry(parent, name, inode);
  }

  rename(caller: Caller, fromId: FileId, fromName: Name, toId: FileId, toName: Name): void {
    const from = this.searched(caller, fromId, fromName);
    const to = this.searched(caller, toId, toName);
    if (isDots(fromName) || isDots(toName)) throw new FileSystemError("EINVAL");
    const inode = found(from, fromName);
    const target = to.entries.get(toName)?.inode;
    const moves = from !== to;
    if (isDirectory(inode) && this.contains(inode, to)) throw new FileSystemError("EINVAL");
    if (target !== undefined && isDirectory(target) && this.contains(target, from)) {
      throw new FileSystemError("ENOTEMPTY");
    }
    if (target === inode) return;

    rules.requireDeletable(caller, from, inode);
    if (target === undefined) this.requireExtensible(caller, to);
    else {
      rules.requireDeletable(caller, to, target);
      if (isDirectory(inode) && !isDirectory(target)) throw new FileSystemError("ENOTDIR");
      if (!isDirectory(inode) && isDirectory(target)) throw new FileSystemError("EISDIR");
    }
    // A directory that changes its parent has its `..` rewritten.
    if (isDirectory(inode) && moves) {
      rules.require(caller, inode, may.write);
      if (target === undefined) this.requireLinkable(to);
    }
    if (target !== undefined && target.entries.size > 0) throw new FileSystemError("ENOTEMPTY");

    const cookie = to.entries.get(toName)?.cookie;
    if (target !== undefined) this.unlinkEntry(to, toName, target);
    this.removeEntry(from, fromName, inode);
    this.addEntry(to, toName, inode, cookie);
    this.change().assign(inode, { changed: this.now() });
  }

  link(caller: Caller, id: FileId, directoryId: FileId, name: Name): void {
    const inode = this.inode(id);
    this.requireAbsent(caller, directoryId, name);
    const directory = this.directory(directoryId);
    this.requireExtensible(caller, directory);
    if (isDirectory(inode)) throw new FileSystemError("EPERM");
    if (inode.links === 0) throw new FileSystemError("ENOENT");
    this.requireLinkable(inode);
    this.addEntry(directory, name, inode);
    this.change().assign(inode, { links: inode.links + 1, changed: this.now() });
  }

  getExtendedAttribute(caller: Caller, id: FileId, name: Name): Buffer {
    const inode = this.inode(id);
    checkExtendedName(name);
    rules.requireExtended(caller, inode, name, may.read);
    const value = inode.extended.get(name);
    if (value === undefined) throw new FileSystemError("ENODATA");
    return Buffer.from(value);
  }

  setExtendedAttribute(
    caller: Caller,
    id: FileId,
    name: Name,
    value: Buffer,
    mode: "any" | "create" | "replace",
  ): void {
    const inode = this.inode(id);
    checkExtendedName(name);
    if (value.length > maxExtendedBytes) throw new FileSystemError("ERANGE");
    rules.requireExtended(caller, inode, name, may.write);
    if (mode === "create" && inode.extended.has(name)) throw new FileSystemError("EEXIST");
    if (mode === "replace" && !inode.extended.has(name)) throw new FileSystemError("ENODATA");
    this.change().put(inode.extended, name, Buffer.from(value));
    this.change().assign(inode, { changed: this.now() });
  }

  removeExtendedAttribute(caller: Caller, id: FileId, name: Name): void {
    const inode = this.inode(id);
    checkExtendedName(name);
    rules.requireExtended(caller, inode, name, may.write);
    if (!inode.extended.has(name)) throw new FileSystemError("ENODATA");
    this.change().put(inode.extended, name, undefined);
    this.change().assign(inode, { changed: this.now() });
  }

  listExtendedAttributes(caller: Caller, id: FileId): Name[] {
    const names = [...this.inode(id).extended.keys()].sort();
    return names.filter((name) => rules.isRoot(caller) || !name.startsWith("trusted."));
  }
}

function found(directory: Inode, name: Name): Inode {
  const entry = directory.entries.get(name);
  if (entry === undefined) throw new FileSystemError("ENOENT");
  return entry.inode;
}

function raiseFault(needs: readonly Need[] = []): void {
  if (needs.length > 0) throw new Fault(needs);
}
