/**
 * The state of the reference model and the few ways of changing it: the parts that name no operation.
 *
 * Everything a transaction changes goes through `change()`, whose log takes it back when the transaction fails.
 */
import { createHash, randomBytes } from "node:crypto";
import { FileSystemError } from "../../../cowfs/errors.ts";
import {
  type AttributeChange,
  type Caller,
  type FileId,
  FileType,
  type Name,
  type RequestKey,
  type Time,
} from "../../../cowfs/file-system.ts";
import { checkSize, pageBytes, sizeFields } from "./content.ts";
import { type Entry, type Inode, isDirectory, typeOf } from "./inode.ts";
import { checkName, isDots } from "./names.ts";
import { checkChange, newOwnership } from "./new-attributes.ts";
import { type ModelOptions, systemClock } from "./options.ts";
import * as rules from "./rules.ts";
import { may } from "./rules.ts";
import { UndoLog } from "./undo.ts";

/** How many replies are remembered for requests that come twice (DESIGN "Exactly once"). */
const maxReplies = 65_536;
export class ModelState {
  readonly rootId: FileId = 1;
  readonly lineage = randomBytes(16);
  readonly handleKey = randomBytes(32);
  writeVerifier = randomBytes(8);

  protected readonly options: ModelOptions;
  protected readonly inodes = new Map<FileId, Inode>();
  protected readonly replies = new Map<RequestKey, Buffer>();
  protected readonly undo = new UndoLog();
  protected inTransaction = false;
  protected lastId = 0;
  protected lastTime: Time = { seconds: Number.NEGATIVE_INFINITY, nanoseconds: 0 };

  constructor(options: ModelOptions) {
    this.options = options;
    this.transact(undefined, () => {
      const root = this.newInode({ mode: FileType.directory | 0o755, uid: 0, gid: 0 }, {});
      this.undo.assign(root, { links: 2 });
      return Buffer.alloc(0);
    });
  }

  retain(id: FileId): void {
    this.inode(id).retained++;
  }

  release(id: FileId): void {
    const inode = this.inode(id);
    if (inode.retained === 0) throw new Error(`inode ${id} is released more often than it was retained`);
    inode.retained--;
    if (inode.retained === 0 && inode.links === 0) this.inodes.delete(id);
  }

  transact(key: RequestKey | undefined, run: () => Buffer): Buffer {
    if (this.inTransaction) throw new Error("a transaction inside a transaction");
    this.inTransaction = true;
    try {
      const reply = run();
      this.undo.forget();
      if (key !== undefined) this.remember(key, reply);
      return reply;
    } catch (thrown) {
      this.undo.rollBack();
      throw thrown;
    } finally {
      this.inTransaction = false;
    }
  }

  findReply(key: RequestKey): Buffer | undefined {
    return this.replies.get(key);
  }

  flush(): void {
    this.options.onFlush?.();
  }

  async sync(): Promise<void> {
    try {
      await this.options.onSync?.();
    } catch (thrown) {
      this.writeVerifier = createHash("sha256").update(this.writeVerifier).digest().subarray(0, 8);
      throw thrown;
    }
  }

  protected remember(key: RequestKey, reply: Buffer): void {
    this.replies.set(key, Buffer.from(reply));
    if (this.replies.size > maxReplies) this.replies.delete(this.replies.keys().next().value!);
  }

  /** The undo log, which is also the right to change anything. */
  protected change(): UndoLog {
    if (!this.inTransaction) throw new Error("a change outside a transaction");
    return this.undo;
  }

  protected now(): Time {
    const now = (this.options.clock ?? systemClock)();
    const last = this.lastTime;
    const isLater = now.seconds - last.seconds || now.nanoseconds - last.nanoseconds;
    if (isLater > 0) this.lastTime = now;
    return this.lastTime;
  }

  protected inode(id: FileId): Inode {
    const inode = this.inodes.get(id);
    if (inode === undefined) throw new FileSystemError("ESTALE");
    return inode;
  }

  protected directory(id: FileId): Inode {
    const inode = this.inode(id);
    if (!isDirectory(inode)) throw new FileSystemError("ENOTDIR");
    return inode;
  }

  protected file(id: FileId): Inode {
    const inode = this.inode(id);
    if (isDirectory(inode)) throw new FileSystemError("EISDIR");
    if (typeOf(inode) !== FileType.regular) throw new FileSystemError("EINVAL");
    return inode;
  }

  /** A directory in which the caller may look for this name. */
  protected searched(caller: Caller, directoryId: FileId, name: Name): Inode {
    const directory = this.directory(directoryId);
    rules.require(caller, directory, may.execute);
    checkName(name);
    return directory;
  }

  protected existing(caller: Caller, directoryId: FileId, name: Name): Inode | undefined {
    const directory = this.searched(caller, directoryId, name);
    return isDots(name) ? directory : directory.entries.get(name)?.inode;
  }

  protected requireAbsent(caller: Caller, directoryId: FileId, name: Name): void {
    if (this.existing(caller, directoryId, name) !== undefined) throw new FileSystemError("EEXIST");
  }

  /** Nothing is made in a directory that was removed while somebody had it open. */
  protected requireExtensible(caller: Caller, directory: Inode): void {
    if (directory.links === 0) throw new FileSystemError("ENOENT");
    rules.require(caller, directory, may.write | may.execute);
  }

  protected requireLinkable(inode: Inode): void {
    if (inode.links >= (this.options.maxLinks ?? 2 ** 31 - 1)) throw new FileSystemError("EMLINK");
  }

  protected contains(ancestor: Inode, directory: Inode): boolean {
    for (let at = directory; ; at = this.directory(at.parent)) {
      if (at === ancestor) return true;
      if (at.id === this.rootId || at.links === 0) return false;
    }
  }

  protected usedBytes(): number {
    let pages = 0;
    for (const inode of this.inodes.values()) pages += inode.pages.size;
    return pages * pageBytes;
  }

  protected requireSpace(file: Inode, offset: number, length: number): void {
    if (this.options.totalBytes === undefined) return;
    let missing = 0;
    const last = Math.floor((offset + length - 1) / pageBytes);
    for (let index = Math.floor(offset / pageBytes); index <= last; index++) if (!file.pages.has(index)) missing++;
    if (this.usedBytes() + missing * pageBytes > this.options.totalBytes) throw new FileSystemError("ENOSPC");
  }

  protected create(
    caller: Caller,
    directoryId: FileId,
    name: Name,
    type: number,
    change: AttributeChange,
    rest: Partial<Inode>,
  ): FileId {
    const directory = this.directory(directoryId);
    this.requireExtensible(caller, directory);
    if ((type === FileType.block || type === FileType.character) && !rules.isRoot(caller)) {
      throw new FileSystemError("EPERM");
    }
    checkChange(change);
    for (const number of [rest.deviceMajor, rest.deviceMinor]) {
      if (number !== undefined && number !== number >>> 0) throw new FileSystemError("EINVAL");
    }
    const isNewDirectory = type === FileType.directory;
    if (isNewDirectory) this.requireLinkable(directory);
    const inode = this.newInode(newOwnership(caller, directory, type, change), rest);
    this.addEntry(directory, name, inode);
    const { accessed, modified } = change;
    this.change().assign(inode, {
      links: isNewDirectory ? 2 : 1,
      ...sizeFields(type === FileType.regular ? checkSize(change.size ?? 0) : BigInt(rest.target?.length ?? 0)),
      accessed: accessed === undefined || accessed === "now" ? inode.accessed : accessed,
      modified: modified === undefined || modified === "now" ? inode.modified : modified,
    });
    return inode.id;
  }

  protected newInode(ownership: { mode: number; uid: number; gid: number }, rest: Partial<Inode>): Inode {
    const now = this.now();
    const inode: Inode = {
      id: ++this.lastId,
      ...ownership,
      links: 0,
      size: 0,
      large: undefined,
      accessed: now,
      modified: now,
      changed: now,
      deviceMajor: 0,
      deviceMinor: 0,
      retained: 0,
      verifier: undefined,
      target: "",
      extended: new Map(),
      pages: new Map(),
      entries: new Map(),
      parent: this.lastId,
      nextCookie: 1,
      ...rest,
    };
    this.change().put(this.inodes, inode.id, inode);
    return inode;
  }

  protected addEntry(directory: Inode, name: Name, inode: Inode, cookie: number = directory.nextCookie++): void {
    const entry: Entry = { inode, cookie };
    this.change().put(directory.entries, name, entry);
    if (isDirectory(inode)) {
      this.change().assign(directory, { links: directory.links + 1 });
      this.change().assign(inode, { parent: directory.id });
    }
    this.touch(directory);
  }

  protected removeEntry(directory: Inode, name: Name, inode: Inode): void {
    this.change().put(directory.entries, name, undefined);
    if (isDirectory(inode)) this.change().assign(directory, { links: directory.links - 1 });
    this.touch(directory);
  }

  protected unlinkEntry(directory: Inode, name: Name, inode: Inode): void {
    this.removeEntry(directory, name, inode);
    const links = isDirectory(inode) ? 0 : inode.links - 1;
    this.change().assign(inode, { links, changed: this.now() });
    if (links === 0 && inode.retained === 0) this.change().put(this.inodes, inode.id, undefined);
  }

  protected touch(directory: Inode): void {
    const now = this.now();
    this.change().assign(directory, { modified: now, changed: now });
  }

  /** File capabilities never outlive a change of content or owner, not even one by root. */
  protected dropCapabilities(inode: Inode): void {
    this.change().put(inode.extended, "security.capability", undefined);
  }
}
