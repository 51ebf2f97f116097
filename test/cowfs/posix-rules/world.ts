import { deepEqual, fail, rejects, throws } from "node:assert/strict";
import { type Errno, FileSystemError } from "../../../cowfs/errors.ts";
import {
  type AttributeChange,
  type Attributes,
  type Caller,
  type FileId,
  type FileSystem,
  FileType,
} from "../../../cowfs/file-system.ts";
import type { Offset } from "../../../cowfs/offsets.ts";

export type Rule = readonly [sentence: string, run: (world: World) => unknown];

export const root: Caller = { uid: 0, gid: 0, groups: [] };
/** Owns what the rules are about, and is also in group 2000. */
export const alice: Caller = { uid: 1000, gid: 1000, groups: [2000] };
/** In group 2000 too. */
export const bob: Caller = { uid: 1001, gid: 1001, groups: [2000] };
/** Shares nothing with anyone. */
export const carol: Caller = { uid: 1002, gid: 1002, groups: [] };

export const longestName = "n".repeat(255);
export const tooLongName = "n".repeat(256);
/** Bytes that are not UTF-8. */
export const oddName = "\xff\xfe \n\x01";

/** A file capability that the kernel takes for one (capabilities(7)): revision 2, cap_net_bind_service permitted. */
export const capability = Buffer.from("0100000200040000000000000000000000000000", "hex");

/** Everything of a file system that an operation that failed must not have changed. */
type Dump = Record<string, unknown>;

/** Opens again what a file system that failed closed left. */
export type Reopen = (failed: FileSystem) => Promise<FileSystem>;

/** A file system and short ways of arranging and trying things on it. Arranging is done by root. */
export class World {
  fs: FileSystem;
  readonly top: FileId;
  readonly #reopen: Reopen | undefined;
  #names = 0;

  constructor(fs: FileSystem, reopen?: Reopen) {
    this.fs = fs;
    this.top = fs.rootId;
    this.#reopen = reopen;
  }

  /** Runs a change as one transaction. */
  does<T>(change: (fs: FileSystem) => T): T {
    let result: T | undefined;
    this.fs.transact(undefined, () => {
      result = change(this.fs);
      return Buffer.alloc(0);
    });
    return result as T;
  }

  /** The change is answered with this error and leaves everything as it was. */
  refuses(errno: Errno, change: (fs: FileSystem) => unknown): void {
    const before = this.dump();
    let done = false;
    try {
      this.does(change);
      done = true;
    } catch (thrown) {
      if (!(thrown instanceof FileSystemError)) throw thrown;
      deepEqual(thrown.code, errno);
    }
    if (done) fail(`expected ${errno}, but it was done`);
    deepEqual(this.dump(), before);
  }

  /**
   * The transaction fails after its first change and leaves everything as it was: at once, or, where the file system
   * fails closed, when it is opened again.
   */
  async takesBack(errno: Errno, change: (fs: FileSystem) => unknown): Promise<void> {
    if (this.#reopen === undefined) return this.refuses(errno, change);
    const before = this.dump();
    this.fs.flush();
    throws(() => this.does(change), { code: errno });
    throws(() => this.does(() => {}), { code: "EIO" });
    throws(() => this.dump(), { code: "EIO" });
    throws(() => this.fs.flush());
    await rejects(() => this.fs.sync());
    this.fs = await this.#reopen(this.fs);
    deepEqual(this.dump(), before);
  }

  freshName(): string {
    return `name-${++this.#names}`;
  }

  /** A file of alice's, 0644, unless told otherwise. */
  file(change: AttributeChange & { content?: string; in?: FileId; name?: string } = {}): FileId {
    const { content, in: directory = this.top, name = this.freshName(), ...attributes } = change;
    return this.does((fs) => {
      const id = fs.createFile(root, directory, name, { mode: 0o644, ...owned(attributes) }, { kind: "guarded" });
      if (content !== undefined) fs.write(root, id, 0, Buffer.from(content, "latin1"));
      return id;
    });
  }

  /** A directory of alice's, 0755, unless told otherwise. */
  directory(change: AttributeChange & { in?: FileId; name?: string } = {}): FileId {
    const { in: directory = this.top, name = this.freshName(), ...attributes } = change;
    return this.does((fs) => {
      const id = fs.createDirectory(root, directory, name, owned(attributes));
      // mkdir(2) takes no set-ID bits; chmod does.
      fs.setAttributes(root, id, { mode: attributes.mode ?? 0o755 });
      return id;
    });
  }

  symlink(target: string, directory: FileId = this.top, name: string = this.freshName()): FileId {
    return this.does((fs) => fs.createSymlink(root, directory, name, target, owned({})));
  }

  fifo(directory: FileId = this.top, name: string = this.freshName()): FileId {
    return this.does((fs) =>
      fs.createSpecial(root, directory, name, FileType.fifo, 0, 0, { mode: 0o644, ...owned({}) }),
    );
  }

  find(directory: FileId, name: string): FileId {
    return this.fs.lookup(root, directory, name);
  }

  /** As they are now: a file system may give out a view that changes with the inode. */
  attributes(id: FileId): Attributes {
    return structuredClone(this.fs.getAttributes(id));
  }

  /** Permission bits, 07777. */
  mode(id: FileId): number {
    return this.attributes(id).mode & 0o7777;
  }

  content(id: FileId, offset: Offset = 0, length = 100): string {
    const buffer = Buffer.alloc(length);
    return buffer.toString("latin1", 0, this.fs.read(root, id, offset, length, buffer, 0));
  }

  names(directory: FileId): string[] {
    return this.fs
      .list(root, directory, 0, 10_000)
      .map((entry) => entry.name)
      .sort();
  }

  /** Lets time pass for any clock, so that what is stamped now differs from what was stamped before. */
  async later(): Promise<void> {
    const stamp = () => JSON.stringify(this.attributes(this.file()).changed);
    const before = stamp();
    for (let tries = 0; tries < 1000; tries++) {
      if (stamp() !== before) return;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    fail("the clock stands still");
  }

  dump(directory: FileId = this.top, path = "", into: Dump = {}): Dump {
    into[`${path}/`] = this.attributes(directory);
    for (const entry of this.fs.list(root, directory, 0, 10_000)) {
      const at = `${path}/${entry.name}`;
      const attributes = this.attributes(entry.id);
      const type = attributes.mode & FileType.mask;
      const extended = this.fs.listExtendedAttributes(root, entry.id);
      into[at] = [entry, attributes, extended];
      if (type === FileType.directory) this.dump(entry.id, at, into);
      if (type === FileType.regular && attributes.size < 10_000) into[`${at}:`] = this.content(entry.id, 0, 10_000);
      if (type === FileType.symlink) into[`${at}:`] = this.fs.readLink(root, entry.id);
    }
    return into;
  }
}

function owned(change: AttributeChange): AttributeChange {
  return { uid: alice.uid, gid: alice.gid, ...change };
}
