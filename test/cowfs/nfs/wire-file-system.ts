/**
 * A FileSystem whose calls are NFSv3 requests over a socket: the conformance suite's way through the server. Calls wait
 * for their answers (Atomics.wait), since the server and its client live in a thread of their own (`wire-worker.ts`).
 *
 * Ids are fileids; the handle of each is kept for ever, as a client does, so that a stale one is the server's to refuse.
 * What NFSv3 has no request for fails with an Error that is no answer of a file system.
 */
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from "node:worker_threads";
import { type Errno, FileSystemError } from "../../../cowfs/errors.ts";
import {
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
import { type Offset, splitSize } from "../../../cowfs/offsets.ts";
import { nfs } from "./client.ts";
import { Decoder, type Encoder, encode } from "./encoder.ts";
import { attributes, readAttributes, readChangeData, readListing, type WireAttributes } from "./results.ts";
import type { WireAnswer, WireMessage } from "./wire-worker.ts";

const errnos: Readonly<Record<number, Errno>> = {
  1: "EPERM",
  2: "ENOENT",
  5: "EIO",
  13: "EACCES",
  17: "EEXIST",
  18: "EXDEV",
  20: "ENOTDIR",
  21: "EISDIR",
  22: "EINVAL",
  27: "EFBIG",
  28: "ENOSPC",
  30: "EROFS",
  31: "EMLINK",
  63: "ENAMETOOLONG",
  66: "ENOTEMPTY",
  69: "EDQUOT",
  70: "ESTALE",
  10004: "ENOTSUP",
  // BADTYPE: no such type can be made.
  10007: "EINVAL",
};

const fileTypes = ["regular", "directory", "block", "character", "symlink", "socket", "fifo"] as const;
const answerMs = 20_000;
const listingBytes = 65_536;

/** The thread that serves and asks; end it with `terminate`. */
export class Wire {
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #bell = new Int32Array(new SharedArrayBuffer(4));

  constructor() {
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.#worker = new Worker(new URL("./wire-worker.ts", import.meta.url), {
      workerData: { port: port2, bell: this.#bell },
      transferList: [port2],
    });
  }

  ask(message: WireMessage): WireAnswer {
    Atomics.store(this.#bell, 0, 0);
    this.#port.postMessage(message);
    if (Atomics.wait(this.#bell, 0, 0, answerMs) === "timed-out") throw new Error("the wire does not answer");
    const { message: answer } = receiveMessageOnPort(this.#port) as { message: WireAnswer };
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer;
  }

  open(): WireFileSystem {
    const { session, bytes } = this.ask({ kind: "open" });
    return new WireFileSystem(this, session!, Buffer.from(bytes!));
  }

  async terminate(): Promise<void> {
    this.#port.close();
    await this.#worker.terminate();
  }
}

export class WireFileSystem implements FileSystem {
  readonly rootId: FileId;
  readonly #wire: Wire;
  readonly #session: number;
  readonly #handles = new Map<FileId, Buffer>();

  constructor(wire: Wire, session: number, rootHandle: Buffer) {
    this.#wire = wire;
    this.#session = session;
    const results = this.#call(superuser, nfs.getattr, encode().opaque(rootHandle));
    this.rootId = readAttributes(results).id;
    this.#handles.set(this.rootId, rootHandle);
  }

  close(): void {
    this.#wire.ask({ kind: "close", session: this.#session });
  }

  get lineage(): Buffer {
    return inexpressible("the lineage");
  }
  get handleKey(): Buffer {
    return inexpressible("the key of handles");
  }
  get writeVerifier(): Buffer {
    const results = this.#call(superuser, nfs.commit, this.#handle(this.rootId).u64(0).u32(0));
    readChangeData(results);
    return results.raw(8);
  }

  getAttributes(id: FileId): Attributes {
    return toAttributes(readAttributes(this.#call(superuser, nfs.getattr, this.#handle(id))));
  }

  setAttributes(caller: Caller, id: FileId, change: AttributeChange): void {
    this.#call(caller, nfs.setattr, this.#handle(id).raw(changeOf(change)).u32(0));
  }

  lookup(caller: Caller, directory: FileId, name: Name): FileId {
    const results = this.#call(caller, nfs.lookup, this.#handle(directory).string(name));
    const handle = results.opaque();
    return this.#know(handle, results.optional(readAttributes)!);
  }

  access(caller: Caller, id: FileId, mask: number): number {
    const results = this.#call(caller, nfs.access, this.#handle(id).u32(mask));
    results.optional(readAttributes);
    return results.u32();
  }

  readLink(caller: Caller, id: FileId): Name {
    const results = this.#call(caller, nfs.readlink, this.#handle(id));
    results.optional(readAttributes);
    return results.string();
  }

  read(caller: Caller, id: FileId, offset: Offset, length: number, target: Buffer, targetOffset: number): number {
    const results = this.#call(caller, nfs.read, this.#handle(id).u64(offset).u32(length));
    results.optional(readAttributes);
    const count = results.u32();
    results.u32();
    results.opaque().copy(target, targetOffset);
    return count;
  }

  list(caller: Caller, directory: FileId, cookie: number, limit: number): DirectoryEntry[] {
    const entries: DirectoryEntry[] = [];
    for (let after = cookie; entries.length < limit; ) {
      const page = this.#listPage(caller, directory, after);
      const { name: _, ...last } = page.entries.at(-1) ?? { name: "", cookie: after };
      after = last.cookie;
      entries.push(...page.entries.filter(({ name }) => name !== "." && name !== ".."));
      if (page.isComplete) break;
    }
    return entries.slice(0, limit);
  }

  #listPage(caller: Caller, directory: FileId, cookie: number) {
    const args = this.#handle(directory).u64(cookie).u64(0).u32(listingBytes).u32(listingBytes);
    const results = this.#call(caller, nfs.readdirplus, args);
    // The status was taken off by the call; the listing's reader wants it.
    const { entries, isComplete } = readListing(new Decoder(Buffer.concat([Buffer.alloc(4), rest(results)])), true);
    for (const { id, handle } of entries) if (handle !== undefined) this.#handles.set(id, handle);
    return { entries: entries.map(({ name, id, cookie }) => ({ name, id, cookie })), isComplete };
  }

  statistics(): Statistics {
    const results = this.#call(superuser, nfs.fsstat, this.#handle(this.rootId));
    results.optional(readAttributes);
    const [totalBytes, freeBytes, availableBytes] = [results.u64(), results.u64(), results.u64()];
    return { totalBytes, freeBytes, availableBytes, totalFiles: results.u64(), freeFiles: results.u64() };
  }

  write(caller: Caller, id: FileId, offset: Offset, data: Buffer): void {
    this.#call(caller, nfs.write, this.#handle(id).u64(offset).u32(data.length).u32(0).opaque(data));
  }

  createFile(caller: Caller, directory: FileId, name: Name, change: AttributeChange, mode: CreateMode): FileId {
    const args = this.#handle(directory).string(name);
    if (mode.kind === "exclusive") args.u32(2).u64(mode.verifier);
    else args.u32(mode.kind === "guarded" ? 1 : 0).raw(changeOf(change));
    return this.#make(caller, nfs.create, args);
  }

  createDirectory(caller: Caller, directory: FileId, name: Name, change: AttributeChange): FileId {
    return this.#make(caller, nfs.mkdir, this.#handle(directory).string(name).raw(changeOf(change)));
  }

  createSymlink(caller: Caller, directory: FileId, name: Name, target: Name, change: AttributeChange): FileId {
    const args = this.#handle(directory).string(name).raw(changeOf(change)).string(target);
    return this.#make(caller, nfs.symlink, args);
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
    const wireType = 1 + fileTypes.findIndex((known) => FileType[known] === type);
    const args = this.#handle(directory).string(name).u32(wireType).raw(changeOf(change));
    if (type === FileType.block || type === FileType.character) args.u32(deviceMajor).u32(deviceMinor);
    return this.#make(caller, nfs.mknod, args);
  }

  removeFile(caller: Caller, directory: FileId, name: Name): void {
    this.#call(caller, nfs.remove, this.#handle(directory).string(name));
  }

  removeDirectory(caller: Caller, directory: FileId, name: Name): void {
    this.#call(caller, nfs.rmdir, this.#handle(directory).string(name));
  }

  rename(caller: Caller, from: FileId, fromName: Name, to: FileId, toName: Name): void {
    const args = this.#handle(from).string(fromName);
    this.#call(caller, nfs.rename, args.raw(this.#handle(to).take()).string(toName));
  }

  link(caller: Caller, id: FileId, directory: FileId, name: Name): void {
    this.#call(caller, nfs.link, this.#handle(id).raw(this.#handle(directory).take()).string(name));
  }

  getExtendedAttribute(): Buffer {
    return inexpressible("an extended attribute");
  }
  setExtendedAttribute(): void {
    inexpressible("an extended attribute");
  }
  removeExtendedAttribute(): void {
    inexpressible("an extended attribute");
  }
  listExtendedAttributes(): Name[] {
    return [];
  }

  retain(): void {
    inexpressible("an open file");
  }
  release(): void {
    inexpressible("an open file");
  }

  /** A request is a transaction of its own. */
  transact(key: string | undefined, run: () => Buffer): Buffer {
    return key === undefined ? run() : inexpressible("a request's key");
  }
  findReply(): Buffer | undefined {
    return inexpressible("a request's key");
  }
  flush(): void {}
  async sync(): Promise<void> {
    this.#call(superuser, nfs.commit, this.#handle(this.rootId).u64(0).u32(0));
  }

  #handle(id: FileId): Encoder {
    const handle = this.#handles.get(id);
    if (handle === undefined) throw new Error(`nobody gave a handle of ${id}`);
    return encode().opaque(handle);
  }

  #know(handle: Buffer, found: WireAttributes): FileId {
    this.#handles.set(found.id, handle);
    return found.id;
  }

  #make(caller: Caller, procedure: number, args: Encoder): FileId {
    const results = this.#call(caller, procedure, args);
    const handle = results.optional(() => results.opaque())!;
    return this.#know(handle, results.optional(readAttributes)!);
  }

  #call(as: Caller, procedure: number, args: Encoder): Decoder {
    const { bytes } = this.#wire.ask({ kind: "call", session: this.#session, procedure, args: args.take(), as });
    const results = new Decoder(Buffer.from(bytes!));
    const status = results.u32();
    if (status === 0) return results;
    const errno = errnos[status];
    if (errno === undefined) throw new Error(`status ${status} is no errno`);
    throw new FileSystemError(errno);
  }
}

const superuser: Caller = { uid: 0, gid: 0, groups: [] };

function rest(results: Decoder): Buffer {
  return results.raw(results.left);
}

function inexpressible(what: string): never {
  throw new Error(`NFSv3 has no way to name ${what}`);
}

function changeOf(change: AttributeChange): Buffer {
  const time = (wanted: Time | "now" | undefined) =>
    wanted === undefined || wanted === "now" ? wanted : ([wanted.seconds, wanted.nanoseconds] as const);
  return attributes({ ...change, accessed: time(change.accessed), modified: time(change.modified) });
}

function toAttributes(wire: WireAttributes): Attributes {
  return {
    id: wire.id,
    mode: FileType[fileTypes[wire.type - 1]] | wire.mode,
    links: wire.links,
    uid: wire.uid,
    gid: wire.gid,
    ...splitSize(wire.size),
    used: wire.used,
    deviceMajor: wire.device[0],
    deviceMinor: wire.device[1],
    accessed: toTime(wire.accessed),
    modified: toTime(wire.modified),
    changed: toTime(wire.changed),
  };
}

function toTime(wire: string): Time {
  const [seconds, nanoseconds] = wire.split(".").map(Number);
  return { seconds, nanoseconds };
}
