/**
 * The union file system: a journal over a stack of sealed trees, as the protocol servers see it (DESIGN 3 and 4).
 *
 * core.ts holds what the operations share and its invariants; stack.ts the layers. Each operation first looks at all it
 * needs, where it may fault or refuse, and only then changes anything.
 */
import fs from "node:fs";
import { FileSystemError, type XenoError } from "../errors.ts";
import type {
  AttributeChange,
  Attributes,
  Caller,
  CreateMode,
  DirectoryEntry,
  FileId,
  FileSystem,
  Name,
  RequestKey,
  Statistics,
} from "../file-system.ts";
import { Access, FileType } from "../file-system.ts";
import { Journal } from "../journals/journal.ts";
import {
  getExtendedAttribute,
  removeExtendedAttribute,
  setAttributes,
  setExtendedAttribute,
} from "./changing-attributes.ts";
import { emptyRoot, UnionCore } from "./core.ts";
import { createEntry, createFile, linkEntry } from "./creating.ts";
import { rootId, slotOf } from "./file-ids.ts";
import { isDirectory, maxNameBytes, Permission, permits, requirePermission } from "./permissions.ts";
import { listDirectory, readExtendedAttributes, readFile, readLink } from "./reading.ts";
import { removeDirectory, removeFile, renameEntry } from "./removing.ts";
import type { ResolveLayer } from "./stack.ts";
import { writeFile } from "./writing.ts";

export interface UnionOptions {
  /** The journal's directory; created when it is missing. */
  readonly journal: string;
  /** The layer below the journal at the root; none for a journal that stands alone or brings its own `.mount`. */
  readonly base?: string;
  readonly resolve: ResolveLayer;
  /** Told of each `.mount` that cannot be honoured. */
  readonly onMountError?: (error: XenoError) => void;
  readonly signal: AbortSignal;
}

const noReply = Buffer.alloc(0);

/** Opens a union. Throws what opening the journal or resolving the base throws. */
export async function openUnion(options: UnionOptions): Promise<UnionFileSystem> {
  const journal = Journal.open(options.journal);
  try {
    const core = new UnionCore(journal, options.resolve, options.onMountError ?? (() => {}));
    if (options.base !== undefined) await core.stack.mountBase(options.base, options.signal);
    else if (!journal.state.inodes.has(rootId))
      journal.transact(undefined, () => {
        journal.apply({ kind: "put", inode: emptyRoot(core.clock()) });
        return noReply;
      });
    return new UnionFileSystem(core);
  } catch (error) {
    await journal.close();
    throw error;
  }
}

export class UnionFileSystem implements FileSystem {
  readonly rootId = rootId;
  readonly core: UnionCore;

  constructor(core: UnionCore) {
    this.core = core;
  }

  get lineage(): Buffer {
    return this.core.journal.lineage;
  }

  get handleKey(): Buffer {
    return this.core.journal.handleKey;
  }

  get writeVerifier(): Buffer {
    return this.core.journal.writeVerifier;
  }

  getAttributes(id: FileId): Attributes {
    return this.core.attributes(id);
  }

  setAttributes(caller: Caller, id: FileId, change: AttributeChange): void {
    setAttributes(this.core, caller, id, change);
  }

  lookup(caller: Caller, directory: FileId, name: Name): FileId {
    const opened = this.core.directory(directory);
    requirePermission(caller, this.core.attributes(directory), Permission.execute);
    if (name === ".") return directory;
    if (name === "..") return this.core.parent(directory);
    if (name.length > maxNameBytes) throw new FileSystemError("ENAMETOOLONG");
    const id = this.core.findEntry(opened, name);
    if (id === undefined) throw new FileSystemError("ENOENT");
    return id;
  }

  access(caller: Caller, id: FileId, mask: number): number {
    const attributes = this.core.attributes(id);
    let granted = 0;
    if (permits(caller, attributes, Permission.read)) granted |= Access.read;
    if (permits(caller, attributes, Permission.write)) granted |= Access.modify | Access.extend;
    if (isDirectory(attributes.mode)) {
      if (permits(caller, attributes, Permission.execute)) granted |= Access.lookup;
      if (permits(caller, attributes, Permission.write | Permission.execute)) granted |= Access.delete;
    } else if (permits(caller, attributes, Permission.execute)) granted |= Access.execute;
    return granted & mask;
  }

  readLink(_caller: Caller, id: FileId): Name {
    return readLink(this.core, id);
  }

  read(caller: Caller, id: FileId, offset: number, length: number, target: Buffer, targetOffset: number): number {
    return readFile(this.core, caller, id, offset, length, target, targetOffset);
  }

  list(caller: Caller, directory: FileId, cookie: number, limit: number): DirectoryEntry[] {
    return listDirectory(this.core, caller, directory, cookie, limit);
  }

  /** The space of the file system that the journal lies on: that is where writes go. */
  statistics(): Statistics {
    const host = fs.statfsSync(this.core.journal.directory);
    return {
      totalBytes: host.blocks * host.bsize,
      freeBytes: host.bfree * host.bsize,
      availableBytes: host.bavail * host.bsize,
      totalFiles: host.files,
      freeFiles: host.ffree,
    };
  }

  write(caller: Caller, id: FileId, offset: number, data: Buffer): void {
    writeFile(this.core, caller, id, offset, data);
  }

  createFile(caller: Caller, directory: FileId, name: Name, change: AttributeChange, mode: CreateMode): FileId {
    return createFile(this.core, caller, directory, name, change, mode);
  }

  createDirectory(caller: Caller, directory: FileId, name: Name, change: AttributeChange): FileId {
    const made = { mode: FileType.directory | 0o755 };
    return createEntry(this.core, caller, directory, name, change, made);
  }

  createSymlink(caller: Caller, directory: FileId, name: Name, target: Name, change: AttributeChange): FileId {
    const made = { mode: FileType.symlink | 0o777, target };
    const changeButMode = { ...change, mode: undefined };
    return createEntry(this.core, caller, directory, name, changeButMode, made);
  }

  createSpecial(
    caller: Caller,
    directory: FileId,
    name: Name,
    type: number,
    deviceMajor: number,
    deviceMinor: number,
    change: AttributeChange,
  ): FileId {
    const device = type === FileType.block || type === FileType.character;
    if (!device && type !== FileType.fifo && type !== FileType.socket) throw new FileSystemError("EINVAL");
    if (device && caller.uid !== 0) throw new FileSystemError("EPERM");
    const made = { mode: type | 0o644, deviceMajor, deviceMinor };
    return createEntry(this.core, caller, directory, name, change, made);
  }

  removeFile(caller: Caller, directory: FileId, name: Name): void {
    removeFile(this.core, caller, directory, name);
  }

  removeDirectory(caller: Caller, directory: FileId, name: Name): void {
    removeDirectory(this.core, caller, directory, name);
  }

  rename(caller: Caller, from: FileId, fromName: Name, to: FileId, toName: Name): void {
    renameEntry(this.core, caller, from, fromName, to, toName);
  }

  link(caller: Caller, id: FileId, directory: FileId, name: Name): void {
    linkEntry(this.core, caller, id, directory, name);
  }

  getExtendedAttribute(caller: Caller, id: FileId, name: Name): Buffer {
    return getExtendedAttribute(this.core, caller, id, name);
  }

  setExtendedAttribute(
    caller: Caller,
    id: FileId,
    name: Name,
    value: Buffer,
    mode: "any" | "create" | "replace",
  ): void {
    setExtendedAttribute(this.core, caller, id, name, value, mode);
  }

  removeExtendedAttribute(caller: Caller, id: FileId, name: Name): void {
    removeExtendedAttribute(this.core, caller, id, name);
  }

  listExtendedAttributes(caller: Caller, id: FileId): Name[] {
    const names = [...readExtendedAttributes(this.core, id).keys()];
    return caller.uid === 0 ? names : names.filter((name) => !name.startsWith("trusted."));
  }

  retain(id: FileId): void {
    this.core.retained.set(id, (this.core.retained.get(id) ?? 0) + 1);
  }

  release(id: FileId): void {
    const count = this.core.retained.get(id) ?? 0;
    if (count > 1) {
      this.core.retained.set(id, count - 1);
      return;
    }
    this.core.retained.delete(id);
    const inode = this.core.journal.state.inodes.get(id);
    if (inode === undefined || !this.core.isGone(inode)) return;
    this.transact(undefined, () => {
      if (slotOf(id) === 0) this.core.journal.apply({ kind: "drop", id });
      else this.core.journal.apply({ kind: "cut", id, size: 0 });
      return noReply;
    });
  }

  transact(key: RequestKey | undefined, run: () => Buffer): Buffer {
    try {
      return this.core.journal.transact(key, run);
    } finally {
      this.core.settle();
    }
  }

  findReply(key: RequestKey): Buffer | undefined {
    return this.core.journal.state.replies.get(key);
  }

  flush(): void {
    this.core.journal.flush();
  }

  sync(): Promise<void> {
    return this.core.journal.sync();
  }

  async close(): Promise<void> {
    await this.core.journal.close();
  }
}
