/**
 * The union file system: a journal over a stack of sealed trees, as the protocol servers see it (DESIGN 3 and 4).
 *
 * core.ts holds what the operations share and its invariants; stack.ts the layers. Each operation first looks at all it
 * needs, where it may fault or refuse, and only then changes anything.
 */
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
import type { CheckpointLimits } from "../journals/checkpoint-limits.ts";
import type { Disk } from "../journals/disk.ts";
import { Journal } from "../journals/journal.ts";
import { LiveLayer } from "../layers/live/live-layer.ts";
import type { Offset } from "../offsets.ts";
import { setAttributes } from "./changing-attributes.ts";
import { emptyRoot, UnionCore } from "./core.ts";
import { createEntry, createFile, linkEntry } from "./creating.ts";
import {
  getExtendedAttribute,
  listExtendedAttributes,
  removeExtendedAttribute,
  setExtendedAttribute,
} from "./extended-attributes.ts";
import { baseSlot, rootId, slotOf } from "./file-ids.ts";
import { isDirectory, Permission, permits, requirePermission } from "./permissions.ts";
import { listDirectory, readFile, readLink } from "./reading.ts";
import { removeDirectory, removeFile, renameEntry } from "./removing.ts";
import type { ResolveLayer } from "./stack.ts";
import { requireName } from "./values.ts";
import { writeFile } from "./writing.ts";

export interface UnionOptions {
  /** The journal's directory; created when it is missing. */
  readonly journal: string;
  /** The layer below the journal at the root; by default the one it was opened over before, if any. */
  readonly base?: string;
  readonly resolve: ResolveLayer;
  /** Told of each `.mount` that cannot be honoured. */
  readonly onMountError?: (error: XenoError) => void;
  /** What the journal writes to; tests make it fail. */
  readonly disk?: Disk;
  /** The journal's quota, and when it folds its log. */
  readonly limits?: Partial<CheckpointLimits>;
  readonly signal: AbortSignal;
}

const noReply = Buffer.alloc(0);

/** Opens a union. Throws what opening the journal or resolving the base throws. */
export async function openUnion(options: UnionOptions): Promise<UnionFileSystem> {
  const journal = Journal.open(options.journal, options.disk, options.limits);
  try {
    const core = new UnionCore(journal, options.resolve, options.onMountError ?? (() => {}));
    const base = options.base ?? journal.state.slots.get(baseSlot)?.url;
    if (base !== undefined) await core.stack.mountBase(base, options.signal);
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

  get changeCount(): number | undefined {
    if (this.core.stack.hasLive) return undefined;
    return this.core.journal.changeCount + this.core.stack.changeCount;
  }

  get mountCount(): number {
    return this.core.stack.changeCount;
  }

  /** A copy: who asked before a change and after it has two different answers (wcc_data of RFC 1813). */
  getAttributes(id: FileId): Attributes {
    const { mode, links, uid, gid, size, large, used, deviceMajor, deviceMinor, accessed, modified, changed } =
      this.core.attributes(id);
    return {
      id,
      mode,
      links,
      uid,
      gid,
      size,
      large: large && { size: large.size },
      used,
      deviceMajor,
      deviceMinor,
      accessed,
      modified,
      changed,
    };
  }

  setAttributes(caller: Caller, id: FileId, change: AttributeChange): void {
    this.#run(["set", caller, id, change], () => setAttributes(this.core, caller, id, change));
  }

  lookup(caller: Caller, directory: FileId, name: Name): FileId {
    const opened = this.core.directory(directory);
    requirePermission(caller, this.core.attributes(directory), Permission.execute);
    requireName(name);
    if (name === ".") return directory;
    const id = name === ".." ? this.core.parent(directory) || undefined : this.core.findEntry(opened, name);
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
    // As nfsd does where a file system is read-only: a client refuses to open a file for writing on this answer.
    if (this.core.stack.isOver(id)) granted &= ~(Access.modify | Access.extend | Access.delete);
    return granted & mask;
  }

  readLink(_caller: Caller, id: FileId): Name {
    return readLink(this.core, id);
  }

  read(caller: Caller, id: FileId, offset: Offset, length: number, target: Buffer, targetOffset: number): number {
    return readFile(this.core, caller, id, offset, length, target, targetOffset);
  }

  list(caller: Caller, directory: FileId, cookie: number, limit: number): DirectoryEntry[] {
    return listDirectory(this.core, caller, directory, cookie, limit);
  }

  /** The journal's: that is where writes go. */
  statistics(): Statistics {
    return this.core.journal.room.statistics;
  }

  write(caller: Caller, id: FileId, offset: Offset, data: Buffer): void {
    this.#run(["write", caller, id, offset, data], () => writeFile(this.core, caller, id, offset, data));
  }

  createFile(caller: Caller, directory: FileId, name: Name, change: AttributeChange, mode: CreateMode): FileId {
    return this.#run(["create", caller, directory, name, change, mode], () =>
      createFile(this.core, caller, directory, name, change, mode),
    );
  }

  createDirectory(caller: Caller, directory: FileId, name: Name, change: AttributeChange): FileId {
    return this.#run(["mkdir", caller, directory, name, change], () =>
      createEntry(this.core, caller, directory, name, change, { type: FileType.directory }),
    );
  }

  createSymlink(caller: Caller, directory: FileId, name: Name, target: Name, change: AttributeChange): FileId {
    return this.#run(["symlink", caller, directory, name, target, change], () =>
      createEntry(this.core, caller, directory, name, change, { type: FileType.symlink, target }),
    );
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
    const made = device ? { type, deviceMajor, deviceMinor } : { type };
    return this.#run(["special", caller, directory, name, change, made], () =>
      createEntry(this.core, caller, directory, name, change, made),
    );
  }

  removeFile(caller: Caller, directory: FileId, name: Name): void {
    this.#run(["remove", caller, directory, name], () => removeFile(this.core, caller, directory, name));
  }

  removeDirectory(caller: Caller, directory: FileId, name: Name): void {
    this.#run(["rmdir", caller, directory, name], () => removeDirectory(this.core, caller, directory, name));
  }

  rename(caller: Caller, from: FileId, fromName: Name, to: FileId, toName: Name): void {
    this.#run(["rename", caller, from, fromName, to, toName], () =>
      renameEntry(this.core, caller, from, fromName, to, toName),
    );
  }

  link(caller: Caller, id: FileId, directory: FileId, name: Name): void {
    this.#run(["link", caller, id, directory, name], () => linkEntry(this.core, caller, id, directory, name));
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
    return listExtendedAttributes(this.core, caller, id);
  }

  /** A file of a live layer is the same file to everybody who mounts the URL. */
  lockKey(id: FileId): string | undefined {
    if (slotOf(id) <= baseSlot || this.core.find(id) !== undefined) return undefined;
    const { tree, inode } = this.core.stack.locate(id);
    return tree instanceof LiveLayer ? `${tree.id} ${tree.place(inode).identity}` : undefined;
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
      const reply = this.core.journal.transact(key, run);
      this.core.operations.settle(undefined);
      return reply;
    } catch (thrown) {
      this.core.operations.settle(thrown);
      throw thrown;
    } finally {
      this.core.settle();
    }
  }

  /** Runs a change; its words say what it is where it may write through. */
  #run<T>(words: readonly unknown[], run: () => T): T {
    return this.core.stack.isWrittenThroughAnywhere ? this.core.operations.run(words, run) : run();
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
    await this.core.stack.close();
    await this.core.journal.close();
  }
}
