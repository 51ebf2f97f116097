/**
 * Answers the requests of one mount.
 *
 * Invariants:
 * (F1) What a request changed is recorded and flushed before its reply leaves; when flushing fails nobody is answered any
 *      more and the session fails.
 * (F2) The kernel's knowledge of inodes is counted when a reply was delivered, and only then: a reply to a request that
 *      was interrupted meanwhile counts for nothing.
 * (F3) A request that faults is detached from the read buffer and run again from the start when its needs are here. Once
 *      it was answered as interrupted it never runs again.
 * (F4) What the kernel believes of names and directories is taken back before the reply to the change that made it wrong.
 * (F5) A reply is built and written without a pause, so that one buffer serves all.
 */
import { writeSync } from "node:fs";
import { FileSystemError, XenoError } from "../errors.ts";
import { Fault, runWithFaults } from "../fault.ts";
import type { FileId, FileSystem } from "../file-system.ts";
import { errnoNumbers } from "./errno.ts";
import type { MountContext } from "./mount-context.ts";
import { KnownNodes } from "./nodes.ts";
import { NotImplemented, operations } from "./operations/table.ts";
import { notifyInvalidateInode, notifyNewEpoch, Opcode, replyHeaderBytes } from "./protocol.ts";
import { Reply } from "./reply.ts";
import type { Request } from "./request.ts";

/** Each parked request holds up to 1 MiB of a WRITE; beyond this many no more are read until one is done. */
const maxParked = 128;

const nothing = Buffer.alloc(0);

export interface SessionOptions {
  /** The open /dev/fuse. */
  readonly device: number;
  readonly validSeconds: number;
  /** Names stay known: see MountOptions in mount.ts. */
  readonly holdsMounts?: boolean;
  /** Told once, when the session cannot go on: the disk refused a flush. */
  readonly onFailure: (error: unknown) => void;
  /** Told of every error that is not an answer of the file system; the caller of the operation gets EIO. */
  readonly onError: (error: unknown) => void;
}

export class Session implements MountContext {
  readonly fileSystem: FileSystem;
  readonly nodes: KnownNodes;
  readonly reply: Reply = new Reply();
  readonly validSeconds: number;
  /** Resolves when the kernel and we have agreed (INIT); rejects when we could not. */
  readonly initialized: Promise<void>;
  readonly #options: SessionOptions;
  readonly #parked = new Map<number, AbortController>();
  readonly #initialized = Promise.withResolvers<void>();
  #room = Promise.withResolvers<void>();
  #changed = false;
  #mountCount: number | undefined;
  /** Nobody is answered any more: the session failed or the kernel is gone. */
  #closed = false;

  constructor(fileSystem: FileSystem, options: SessionOptions) {
    this.fileSystem = fileSystem;
    this.nodes = new KnownNodes(fileSystem);
    this.validSeconds = options.validSeconds;
    this.initialized = this.#initialized.promise;
    this.initialized.catch(() => {});
    this.#options = options;
    this.#mountCount = fileSystem.mountCount;
  }

  /** Settles when there is room for another parked request; undefined where there is some now. */
  get crowded(): Promise<void> | undefined {
    return this.#parked.size < maxParked ? undefined : this.#room.promise;
  }

  change(run: () => void): void {
    this.fileSystem.transact(undefined, () => {
      run();
      return nothing;
    });
    this.#changed = true;
  }

  /** Attributes only, which takes no lock in the kernel that could wait for us. */
  invalidateAttributes(id: FileId): void {
    this.#notify(notifyInvalidateInode, this.#describeInode(id, -1n));
  }

  /**
   * Has the kernel ask again what names mean, and list directories anew. No lock that the caller of a change may hold is
   * taken: the notice that names one entry would wait for the directory that an UNLINK of `.mount` has locked. A kernel
   * before 6.16 refuses the first notice, and goes on believing names that it looked up.
   */
  #invalidateNames(): void {
    const { mountCount } = this.fileSystem;
    if (mountCount === this.#mountCount) return;
    this.#mountCount = mountCount;
    if (this.validSeconds === 0 || this.#options.holdsMounts) return;
    this.#notify(notifyNewEpoch, nothing);
    for (const id of [this.fileSystem.rootId, ...this.nodes.directories])
      this.#notify(notifyInvalidateInode, this.#describeInode(id, 0n));
  }

  /** fuse_notify_inval_inode_out: attributes, and the pages from an offset on unless it is negative. */
  #describeInode(id: FileId, offset: bigint): Buffer {
    const body = Buffer.alloc(24);
    body.writeBigUInt64LE(BigInt(this.nodes.nodeOf(id)), 0);
    body.writeBigInt64LE(offset, 8);
    return body;
  }

  /** fuse_out_header with no request: `error` is the code. */
  #notify(code: number, body: Buffer): void {
    const header = Buffer.alloc(replyHeaderBytes);
    header.writeUInt32LE(header.length + body.length, 0);
    header.writeInt32LE(code, 4);
    this.#write(Buffer.concat([header, body]));
  }

  /** Takes a request, which it does not keep beyond the call: the buffer may be read into again. */
  accept(request: Request): void {
    switch (request.opcode) {
      case Opcode.forget:
        this.nodes.forget(request.node, request.long(0));
        return;
      case Opcode.batchForget:
        for (let at = 8, left = request.word(0); left > 0; left--, at += 16) {
          this.nodes.forget(request.long(at), request.long(at + 8));
        }
        return;
      case Opcode.interrupt:
        // One that is not here was answered already.
        this.#parked.get(request.long(0))?.abort(new Interrupted());
        return;
      case Opcode.fsync:
      case Opcode.fsyncdir:
        void this.#sync(request.unique);
        return;
    }
    try {
      this.#serve(request);
    } catch (thrown) {
      if (thrown instanceof Fault) void this.#park(request.detach());
      else this.#refuse(request.unique, thrown);
      if (request.opcode === Opcode.init) this.#initialized.reject(thrown);
    }
  }

  /** Gives up what is parked and all knowledge of inodes: after the kernel is gone. */
  close(): void {
    this.#closed = true;
    for (const controller of this.#parked.values()) controller.abort(new Interrupted());
    this.nodes.forgetAll();
    this.#initialized.reject(new XenoError("fuse-not-started", "the mount went away before the kernel had answered"));
  }

  #serve(request: Request): void {
    this.reply.begin();
    this.#changed = false;
    const operation = operations[request.opcode];
    if (operation === undefined) throw new NotImplemented();
    operation(this, request);
    if (this.#changed) {
      this.#flush();
      this.#invalidateNames();
    }
    this.#send(request.unique, 0);
    if (request.opcode === Opcode.init) this.#initialized.resolve();
  }

  async #park(request: Request): Promise<void> {
    const controller = new AbortController();
    const { signal } = controller;
    const interrupted = Promise.withResolvers<never>();
    signal.addEventListener("abort", () => interrupted.reject(signal.reason));
    this.#parked.set(request.unique, controller);
    const run = () => {
      signal.throwIfAborted();
      this.#serve(request);
    };
    try {
      await Promise.race([runWithFaults(run, signal), interrupted.promise]);
    } catch (thrown) {
      // Needs that stop because of the interrupt may say so in words of their own.
      this.#refuse(request.unique, signal.aborted ? signal.reason : thrown);
    } finally {
      this.#parked.delete(request.unique);
      this.#room.resolve();
      this.#room = Promise.withResolvers();
    }
  }

  async #sync(unique: number): Promise<void> {
    try {
      await this.fileSystem.sync();
      this.reply.begin();
      this.#send(unique, 0);
    } catch (thrown) {
      this.#refuse(unique, thrown);
    }
  }

  #flush(): void {
    try {
      this.fileSystem.flush();
    } catch (thrown) {
      this.#closed = true;
      this.#options.onFailure(thrown);
      throw thrown;
    }
  }

  #refuse(unique: number, thrown: unknown): void {
    this.#send(unique, this.#errno(thrown));
  }

  #errno(thrown: unknown): number {
    if (thrown instanceof FileSystemError) return errnoNumbers[thrown.code];
    if (thrown instanceof NotImplemented) return errnoNumbers.ENOSYS;
    if (thrown instanceof Interrupted) return errnoNumbers.EINTR;
    if (!this.#closed) this.#options.onError(thrown);
    return errnoNumbers.EIO;
  }

  #send(unique: number, errno: number): void {
    this.reply.finish(unique, errno);
    if (!this.#write(this.reply.bytes, this.reply.length)) return;
    for (const { id, isDirectory } of this.reply.grants) this.nodes.remember(id, isDirectory);
  }

  /** Writes a message to the kernel; false when it does not want it. */
  #write(bytes: Buffer, length: number = bytes.length): boolean {
    if (this.#closed) return false;
    try {
      writeSync(this.#options.device, bytes, 0, length);
      return true;
    } catch (thrown) {
      const { code } = thrown as NodeJS.ErrnoException;
      // ENOENT: the caller was interrupted and waits no longer, or the inode is forgotten. EINVAL: a notice that the
      // kernel does not know. The others: the mount is gone.
      if (code !== "ENOENT" && code !== "EINVAL" && code !== "ENODEV" && code !== "EPERM")
        this.#options.onError(thrown);
      return false;
    }
  }
}

class Interrupted extends Error {}
