/**
 * A directory of the host as a live layer: `file:///path`, and `afs://cell/path` below the host's AFS mount.
 *
 * Whoever shares the directory is trusted for nothing: no link is followed, nothing but regular files is opened, and an
 * object is used only while it is the one that was found (host-paths.ts). It is identified by device, inode number and
 * birth time: a file system gives a number again, but not at the same nanosecond.
 *
 * What it cannot do: extended attributes, device nodes and fifos (to make them), times closer than a microsecond or so (to set
 * them): Node has no calls for these.
 */
import { type BigIntStats, constants, lstatSync } from "node:fs";
import fs, { type FileHandle } from "node:fs/promises";
import { setImmediate as yieldTurn } from "node:timers/promises";
import { FileSystemError } from "../../errors.ts";
import { FileType, type Name, type Time } from "../../file-system.ts";
import {
  type LiveAttributes,
  type LiveChange,
  type LiveContent,
  type LiveFiles,
  type LiveFound,
  type LiveListing,
  type LiveObject,
  type LivePlace,
  maxListedNames,
  opaqueName,
  whiteoutPrefix,
} from "../live/live-files.ts";
import { changeHostDirectory } from "./changes.ts";
import { asAnswer, openAbsolute, openBelow, openObject, pathIn, pathOf } from "./host-paths.ts";

export interface HostDirectoryPlace {
  /** Absolute; no component of it may be a symbolic link. */
  readonly path: string;
  readonly isWritable: boolean;
}

/** Looked at without letting others have a turn: one lstat of a local file system takes some microseconds. */
const lookedAtOnce = 64;

export async function openHostDirectory({ path, isWritable }: HostDirectoryPlace): Promise<LiveFiles> {
  const root = await openAbsolute(path);
  const { dev } = await root.stat({ bigint: true });
  return new HostDirectory(root, dev, isWritable);
}

export class HostDirectory implements LiveFiles {
  readonly #root: FileHandle;
  readonly #device: bigint;
  readonly #isWritable: boolean;

  constructor(root: FileHandle, device: bigint, isWritable: boolean) {
    this.#root = root;
    this.#device = device;
    this.#isWritable = isWritable;
  }

  async root(): Promise<LiveObject> {
    return this.describe(await this.#root.stat({ bigint: true }));
  }

  async find(directory: LivePlace, name: Name): Promise<LiveFound> {
    return await this.inDirectory(directory, async (opened) => {
      const found = await this.lookUp(opened, name);
      if (found !== undefined) return found;
      return (await this.lookUp(opened, `${whiteoutPrefix}${name}`)) === undefined ? undefined : "whiteout";
    });
  }

  async isOpaque(directory: LivePlace): Promise<boolean> {
    return await this.inDirectory(directory, async (opened) => (await this.lookUp(opened, opaqueName)) !== undefined);
  }

  async list(directory: LivePlace): Promise<LiveListing> {
    return await this.inDirectory(directory, async (opened) => {
      const names = await readNames(opened);
      const entries: { name: Name; object: LiveObject | "whiteout" }[] = [];
      const shown = new Set(names);
      for (const [index, name] of names.entries()) {
        if (index % lookedAtOnce === lookedAtOnce - 1) await yieldTurn();
        if (name === opaqueName) continue;
        const isWhiteout = name.startsWith(whiteoutPrefix);
        const hidden = name.slice(whiteoutPrefix.length);
        if (isWhiteout && !shown.has(hidden)) entries.push({ name: hidden, object: "whiteout" });
        const stats = isWhiteout ? undefined : lstatSync(pathIn(opened, name), { bigint: true, throwIfNoEntry: false });
        if (stats !== undefined) entries.push({ name, object: this.describe(stats) });
      }
      return { entries };
    });
  }

  async attributes(place: LivePlace): Promise<LiveAttributes> {
    return await this.withObject(
      place,
      async (object) => this.describe(await object.stat({ bigint: true })).attributes,
    );
  }

  async read(place: LivePlace, offset: number, length: number): Promise<LiveContent> {
    return await this.withFile(place, constants.O_RDONLY, async (file) => {
      const data = Buffer.allocUnsafe(length);
      let done = 0;
      while (done < length) {
        const { bytesRead } = await file.read(data, done, length - done, offset + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      const { attributes } = this.describe(await file.stat({ bigint: true }));
      return { data: data.subarray(0, done), attributes };
    });
  }

  async readLink(place: LivePlace): Promise<Name> {
    return await this.withObject(place, async (object) => {
      // An empty path names the link that the descriptor is open on, in readlinkat(2) alone; so by its directory.
      const { ino } = await object.stat({ bigint: true });
      return await this.inParent(place, async (directory, name) => {
        const target = await fs.readlink(pathIn(directory, name), "latin1");
        const { ino: now } = await fs.lstat(pathIn(directory, name), { bigint: true });
        if (now !== ino) throw new FileSystemError("ESTALE");
        return target;
      });
    });
  }

  async change(change: LiveChange): Promise<LiveObject | undefined> {
    if (!this.#isWritable) throw new FileSystemError("EROFS");
    try {
      return await changeHostDirectory(this, change);
    } catch (error) {
      throw asAnswer(error);
    }
  }

  /** The object under a name in an open directory. */
  async lookUp(directory: FileHandle, name: Name): Promise<LiveObject | undefined> {
    try {
      return this.describe(await fs.lstat(pathIn(directory, name), { bigint: true }));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT" || code === "ENAMETOOLONG") return undefined;
      throw asAnswer(error);
    }
  }

  /** Runs with the directory at a place open. ESTALE when something else lies there. */
  async inDirectory<T>(place: LivePlace, run: (directory: FileHandle) => Promise<T>): Promise<T> {
    return await using(openBelow(this.#root, place.path), async (directory) => {
      this.#require(place, await directory.stat({ bigint: true }));
      return await run(directory);
    });
  }

  /** Runs with the directory that holds a place open; the root has none. */
  async inParent<T>(place: LivePlace, run: (directory: FileHandle, name: Name) => Promise<T>): Promise<T> {
    const name = place.path.at(-1);
    if (name === undefined) throw new FileSystemError("EINVAL");
    return await using(openBelow(this.#root, place.path.slice(0, -1)), (directory) => run(directory, name));
  }

  /** Runs with the object at a place open, without any effect on it (O_PATH). ESTALE when something else lies there. */
  async withObject<T>(place: LivePlace, run: (object: FileHandle) => Promise<T>): Promise<T> {
    if (place.path.length === 0) return await this.inDirectory(place, run);
    return await this.inParent(place, (directory, name) =>
      using(openObject(directory, name), async (object) => {
        this.#require(place, await object.stat({ bigint: true }));
        return await run(object);
      }),
    );
  }

  /** Runs with a regular file open. */
  async withFile<T>(place: LivePlace, flags: number, run: (file: FileHandle) => Promise<T>): Promise<T> {
    return await this.withObject(place, async (object) => {
      if (!(await object.stat()).isFile()) throw new FileSystemError("EINVAL");
      return await using(fs.open(pathOf(object), flags | constants.O_NONBLOCK), run);
    });
  }

  describe(stats: BigIntStats): LiveObject {
    // A device's number is another after the host's restart; the root's own is left out.
    const device = stats.dev === this.#device ? "" : String(stats.dev);
    const identity = `${device}:${stats.ino}:${stats.birthtimeNs}`;
    const mode = Number(stats.mode);
    const type = mode & FileType.mask;
    const isDevice = type === FileType.block || type === FileType.character;
    return {
      identity,
      attributes: {
        mode,
        links: Number(stats.nlink),
        uid: Number(stats.uid),
        gid: Number(stats.gid),
        size: Number(stats.size),
        used: Number(stats.blocks) * 512,
        deviceMajor: isDevice ? majorOf(stats.rdev) : 0,
        deviceMinor: isDevice ? minorOf(stats.rdev) : 0,
        accessed: timeOf(stats.atimeNs),
        modified: timeOf(stats.mtimeNs),
        changed: timeOf(stats.ctimeNs),
      },
    };
  }

  #require({ identity }: LivePlace, stats: BigIntStats): void {
    if (this.describe(stats).identity !== identity) throw new FileSystemError("ESTALE");
  }
}

/** Opens, runs, closes. A place that is gone, or has become something else on the way to it, is ESTALE. */
async function using<T>(opening: Promise<FileHandle>, run: (opened: FileHandle) => Promise<T>): Promise<T> {
  let opened: FileHandle;
  try {
    opened = await opening;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR" || code === "ELOOP") throw new FileSystemError("ESTALE");
    throw asAnswer(error);
  }
  try {
    return await run(opened);
  } catch (error) {
    throw asAnswer(error);
  } finally {
    await opened.close();
  }
}

/** How often a listing begins again because a name went while it was read. */
const listingTries = 5;

async function readNames(directory: FileHandle): Promise<Name[]> {
  for (let tried = 1; ; tried++) {
    try {
      return await readNamesOnce(directory);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT" || tried === listingTries) throw error;
    }
  }
}

/**
 * Of a file system that does not tell types with names (AFS; DT_UNKNOWN of readdir(3)), Node looks each up by the joined path: that must
 * be the name's own bytes, and fails with ENOENT where it is gone.
 */
async function readNamesOnce(directory: FileHandle): Promise<Name[]> {
  const names: Name[] = [];
  // The types of opendir know neither a path nor names that are bytes; the call does.
  const options = { encoding: "buffer" as BufferEncoding, bufferSize: 1024 };
  const opened = await fs.opendir(pathIn(directory) as unknown as string, options);
  for await (const { name } of opened) {
    if (names.length >= maxListedNames) throw new FileSystemError("ENOTSUP", `more than ${maxListedNames} names`);
    names.push((name as unknown as Buffer).toString("latin1"));
  }
  return names;
}

function timeOf(nanoseconds: bigint): Time {
  const seconds = nanoseconds / 1_000_000_000n - (nanoseconds % 1_000_000_000n < 0n ? 1n : 0n);
  return { seconds: Number(seconds), nanoseconds: Number(nanoseconds - seconds * 1_000_000_000n) };
}

/** makedev(3) of glibc. */
function majorOf(device: bigint): number {
  return Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn & 0xffffffffn));
}

function minorOf(device: bigint): number {
  return Number((device & 0xffn) | ((device >> 12n) & ~0xffn & 0xffffffffn));
}
