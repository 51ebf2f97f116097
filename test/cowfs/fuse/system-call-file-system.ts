/**
 * A FileSystem whose calls are system calls below a directory, made with the caller's ids: the conformance suite's way
 * through a mount, and through any other file system of the kernel's. For a process of its own, which is root.
 *
 * An id is an inode number, held by a descriptor (O_PATH). An inode without a name that nobody retains counts as stale: that is
 * what it is to whoever has no descriptor. Names that no system call can carry are refused here.
 */
import fs from "node:fs";
import { type Errno, FileSystemError } from "../../../cowfs/errors.ts";
import type {
  AttributeChange,
  Attributes,
  Caller,
  CreateMode,
  DirectoryEntry,
  FileId,
  FileSystem,
  Name,
  Statistics,
  Time,
} from "../../../cowfs/file-system.ts";
import { errnoNumbers } from "../../../cowfs/fuse/errno.ts";
import { type Offset, splitSize, toOffset } from "../../../cowfs/offsets.ts";
import { callKernel } from "./perl-calls.ts";

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_TRUNC, O_WRONLY } = fs.constants;
const O_PATH = 0o10000000;
const AT_FDCWD = -100;
const AT_SYMLINK_FOLLOW = 0x400;
const AT_EMPTY_PATH = 0x1000;
const UTIME_NOW = 0x3fffffff;
const UTIME_OMIT = 0x3ffffffe;
/** The first descriptor that a call is given, as a path that leads to the inode itself. */
const given = "/proc/self/fd/3";

export class SystemCallFileSystem implements FileSystem {
  readonly rootId: FileId;
  readonly #descriptors = new Map<FileId, number>();
  readonly #retained = new Map<FileId, number>();
  readonly #hasExtended = new Set<FileId>();

  constructor(directory: string) {
    process.umask(0);
    this.rootId = this.#know(fs.openSync(directory, O_PATH | O_DIRECTORY));
  }

  close(): void {
    for (const descriptor of this.#descriptors.values()) fs.closeSync(descriptor);
    this.#descriptors.clear();
  }

  get lineage(): Buffer {
    return inexpressible("the lineage");
  }
  get handleKey(): Buffer {
    return inexpressible("the key of handles");
  }
  get writeVerifier(): Buffer {
    return inexpressible("the write verifier");
  }

  getAttributes(id: FileId): Attributes {
    return describe(fs.fstatSync(this.#descriptor(id), { bigint: true }));
  }

  setAttributes(caller: Caller, id: FileId, change: AttributeChange): void {
    const path = this.#path(id);
    as(caller, () => {
      // As chown(2) alone clears set-ID bits, a mode that is set with it has to follow.
      if (change.uid !== undefined || change.gid !== undefined) fs.chownSync(path, change.uid ?? -1, change.gid ?? -1);
      if (change.mode !== undefined) fs.chmodSync(path, change.mode);
      if (typeof change.size === "bigint") this.#truncateFar(id, change.size);
      else if (change.size !== undefined) fs.truncateSync(path, change.size);
      if (change.accessed !== undefined || change.modified !== undefined) this.#setTimes(id, change);
    });
  }

  #setTimes(id: FileId, { accessed, modified }: AttributeChange): void {
    const times = Buffer.alloc(32);
    for (const [index, time] of [accessed, modified].entries()) {
      const [seconds, nanoseconds] =
        time === undefined ? [0, UTIME_OMIT] : time === "now" ? [0, UTIME_NOW] : [time.seconds, time.nanoseconds];
      times.writeBigInt64LE(BigInt(seconds), index * 16);
      times.writeBigInt64LE(BigInt(nanoseconds), index * 16 + 8);
    }
    callKernel("utimensat", [3, "", times, AT_EMPTY_PATH], [this.#descriptor(id)]);
  }

  lookup(caller: Caller, directory: FileId, name: Name): FileId {
    const path = this.#entry(directory, name);
    return this.#know(as(caller, () => fs.openSync(path, O_PATH | O_NOFOLLOW)));
  }

  access(): number {
    return inexpressible("access(2) of effective ids");
  }

  readLink(caller: Caller, id: FileId): Name {
    const descriptor = this.#descriptor(id);
    return as(caller, () => callKernel("readlinkat", [3, "", { room: 4096 }, 4096], [descriptor])).toString("latin1");
  }

  /** Node's own calls take no bigints. */
  #truncateFar(id: FileId, size: bigint): void {
    this.#withOpen(superuser, id, O_WRONLY, (descriptor) => callKernel("ftruncate", [3, size], [descriptor]));
  }

  read(caller: Caller, id: FileId, offset: Offset, length: number, target: Buffer, targetOffset: number): number {
    return this.#withOpen(caller, id, O_RDONLY, (descriptor) => {
      const room = Math.min(length, target.length - targetOffset);
      if (typeof offset === "bigint")
        return callKernel("pread64", [3, { room }, room, offset], [descriptor]).copy(target, targetOffset);
      return fs.readSync(descriptor, target, targetOffset, room, offset);
    });
  }

  /** Cookies are places in the listing as it is: readdir(3) as Node has it shows no others. */
  list(caller: Caller, directory: FileId, cookie: number, limit: number): DirectoryEntry[] {
    const path = this.#path(directory);
    const names = as(caller, () => fs.readdirSync(path, { encoding: "buffer" }));
    return names
      .map((bytes, index) => {
        const name = bytes.toString("latin1");
        return { name, id: this.lookup(superuser, directory, name), cookie: index + 1 };
      })
      .slice(cookie, cookie + limit);
  }

  statistics(): Statistics {
    const { bsize, blocks, bfree, bavail, files, ffree } = fs.statfsSync(this.#path(this.rootId));
    return {
      totalBytes: bsize * blocks,
      freeBytes: bsize * bfree,
      availableBytes: bsize * bavail,
      totalFiles: files,
      freeFiles: ffree,
    };
  }

  write(caller: Caller, id: FileId, offset: Offset, data: Buffer): void {
    this.#withOpen(caller, id, O_WRONLY, (descriptor) => {
      if (typeof offset === "bigint") callKernel("pwrite64", [3, data, data.length, offset], [descriptor]);
      else fs.writeSync(descriptor, data, 0, data.length, offset);
    });
  }

  createFile(caller: Caller, directory: FileId, name: Name, change: AttributeChange, mode: CreateMode): FileId {
    if (mode.kind === "exclusive") return inexpressible("an exclusive creation's verifier");
    const path = this.#entry(directory, name);
    const flags = O_CREAT | O_WRONLY | (mode.kind === "guarded" ? O_EXCL : 0) | (change.size === 0 ? O_TRUNC : 0);
    as(caller, () => {
      const descriptor = fs.openSync(path, flags, change.mode ?? 0);
      try {
        if (change.size !== undefined && change.size > 0) fs.ftruncateSync(descriptor, Number(change.size));
      } finally {
        fs.closeSync(descriptor);
      }
    });
    return this.#made(caller, directory, name, { ...change, size: undefined });
  }

  createDirectory(caller: Caller, directory: FileId, name: Name, change: AttributeChange): FileId {
    const path = this.#entry(directory, name);
    as(caller, () => fs.mkdirSync(path, change.mode ?? 0));
    return this.#made(caller, directory, name, { ...change, mode: undefined });
  }

  createSymlink(caller: Caller, directory: FileId, name: Name, target: Name, change: AttributeChange): FileId {
    if (target.includes("\0")) throw new FileSystemError("EINVAL");
    const path = this.#entry(directory, name);
    as(caller, () => fs.symlinkSync(Buffer.from(target, "latin1"), path));
    return this.#made(caller, directory, name, { ...change, mode: undefined });
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
    requireExpressible(name);
    const device = ((deviceMinor & 0xff) | (deviceMajor << 8) | ((deviceMinor & ~0xff) << 12)) >>> 0;
    const descriptor = this.#descriptor(directory);
    as(caller, () => callKernel("mknodat", [3, name, type | (change.mode ?? 0), device], [descriptor]));
    return this.#made(caller, directory, name, change);
  }

  removeFile(caller: Caller, directory: FileId, name: Name): void {
    const path = this.#entry(directory, name);
    as(caller, () => fs.unlinkSync(path));
  }

  removeDirectory(caller: Caller, directory: FileId, name: Name): void {
    const path = this.#entry(directory, name);
    as(caller, () => fs.rmdirSync(path));
  }

  rename(caller: Caller, from: FileId, fromName: Name, to: FileId, toName: Name): void {
    const [source, target] = [this.#entry(from, fromName), this.#entry(to, toName)];
    as(caller, () => fs.renameSync(source, target));
  }

  link(caller: Caller, id: FileId, directory: FileId, name: Name): void {
    requireExpressible(name);
    const descriptors = [this.#descriptor(id), this.#descriptor(directory)];
    as(caller, () => callKernel("linkat", [AT_FDCWD, given, 4, name, AT_SYMLINK_FOLLOW], descriptors));
  }

  getExtendedAttribute(caller: Caller, id: FileId, name: Name): Buffer {
    const descriptor = this.#descriptor(id);
    return as(caller, () => callKernel("getxattr", [given, name, { room: 65_536 }, 65_536], [descriptor]));
  }

  setExtendedAttribute(
    caller: Caller,
    id: FileId,
    name: Name,
    value: Buffer,
    mode: "any" | "create" | "replace",
  ): void {
    const flags = { any: 0, create: 1, replace: 2 }[mode];
    const descriptor = this.#descriptor(id);
    as(caller, () => callKernel("setxattr", [given, name, value, value.length, flags], [descriptor]));
    this.#hasExtended.add(id);
  }

  removeExtendedAttribute(caller: Caller, id: FileId, name: Name): void {
    const descriptor = this.#descriptor(id);
    as(caller, () => callKernel("removexattr", [given, name], [descriptor]));
  }

  /** Asked only of those that were given some: each asking is a process. */
  listExtendedAttributes(caller: Caller, id: FileId): Name[] {
    if (!this.#hasExtended.has(id)) return [];
    const descriptor = this.#descriptor(id);
    const names = as(caller, () => callKernel("listxattr", [given, { room: 65_536 }, 65_536], [descriptor]));
    return names.toString("latin1").split("\0").slice(0, -1);
  }

  retain(id: FileId): void {
    this.#descriptor(id);
    this.#retained.set(id, (this.#retained.get(id) ?? 0) + 1);
  }

  release(id: FileId): void {
    const count = this.#retained.get(id)! - 1;
    if (count > 0) this.#retained.set(id, count);
    else this.#retained.delete(id);
  }

  transact(key: string | undefined, run: () => Buffer): Buffer {
    return key === undefined ? run() : inexpressible("a request's key");
  }
  findReply(): Buffer | undefined {
    return inexpressible("a request's key");
  }
  flush(): void {}
  async sync(): Promise<void> {}

  #withOpen<T>(caller: Caller, id: FileId, flags: number, use: (descriptor: number) => T): T {
    const path = this.#path(id);
    return as(caller, () => {
      const descriptor = fs.openSync(path, flags | O_NONBLOCK);
      try {
        return use(descriptor);
      } finally {
        fs.closeSync(descriptor);
      }
    });
  }

  #made(caller: Caller, directory: FileId, name: Name, change: AttributeChange): FileId {
    const id = this.lookup(superuser, directory, name);
    const { uid, gid, accessed, modified } = change;
    const gives = uid !== undefined || gid !== undefined;
    const mode = gives && ((change.mode ?? 0) & 0o6000) !== 0 ? change.mode : undefined;
    this.setAttributes(caller, id, { uid, gid, mode, accessed, modified });
    return id;
  }

  /** Takes over a descriptor. */
  #know(descriptor: number): FileId {
    const id = Number(fs.fstatSync(descriptor, { bigint: true }).ino);
    if (this.#descriptors.has(id)) fs.closeSync(descriptor);
    else this.#descriptors.set(id, descriptor);
    return id;
  }

  #descriptor(id: FileId): number {
    const descriptor = this.#descriptors.get(id);
    if (descriptor === undefined) throw new FileSystemError("ESTALE");
    if (this.#retained.has(id) || fs.fstatSync(descriptor).nlink > 0) return descriptor;
    this.#descriptors.delete(id);
    fs.closeSync(descriptor);
    throw new FileSystemError("ESTALE");
  }

  /** A path that leads to the inode itself, whatever it is. */
  #path(id: FileId): string {
    return `/proc/self/fd/${this.#descriptor(id)}`;
  }

  #entry(directory: FileId, name: Name): Buffer {
    requireExpressible(name);
    return Buffer.concat([Buffer.from(`${this.#path(directory)}/`), Buffer.from(name, "latin1")]);
  }
}

const superuser: Caller = { uid: 0, gid: 0, groups: [] };

/** Makes system calls with a caller's ids, and turns their errors into ours. */
function as<T>(caller: Caller, call: () => T): T {
  const isRoot = caller.uid === 0;
  if (!isRoot) {
    process.setgroups!([...caller.groups]);
    process.setegid!(caller.gid);
    process.seteuid!(caller.uid);
  }
  try {
    return call();
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code !== undefined && code in errnoNumbers) throw new FileSystemError(code as Errno);
    throw thrown;
  } finally {
    if (!isRoot) {
      process.seteuid!(0);
      process.setegid!(0);
      process.setgroups!([]);
    }
  }
}

function requireExpressible(name: Name): void {
  if (name === "" || name.includes("/") || name.includes("\0")) throw new FileSystemError("EINVAL");
}

function inexpressible(what: string): never {
  throw new Error(`no system call names ${what}`);
}

function describe(stat: fs.BigIntStats): Attributes {
  const device = Number(stat.rdev);
  return {
    id: Number(stat.ino),
    mode: Number(stat.mode),
    links: Number(stat.nlink),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    ...splitSize(toOffset(stat.size)),
    used: Number(stat.blocks) * 512,
    // As glibc packs them: makedev(3).
    deviceMajor: (device >>> 8) & 0xfff,
    deviceMinor: (device & 0xff) | ((device >>> 12) & 0xfff00),
    accessed: toTime(stat.atimeNs),
    modified: toTime(stat.mtimeNs),
    changed: toTime(stat.ctimeNs),
  };
}

function toTime(nanoseconds: bigint): Time {
  const billion = 1_000_000_000n;
  const rest = ((nanoseconds % billion) + billion) % billion;
  return { seconds: Number((nanoseconds - rest) / billion), nanoseconds: Number(rest) };
}
