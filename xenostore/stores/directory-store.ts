/**
 * A store in a directory: an object is a file under its key.
 *
 * A new object is written to `tmp/`, synced, and linked under its name, then the directory is synced: a name never
 * shows a part of an object, and what was acknowledged survives a power cut. Interrupted writes leave files in `tmp/`
 * that the next opener removes once they are a day old.
 */
import { randomUUID } from "node:crypto";
import { closeSync } from "node:fs";
import fs from "node:fs/promises";
import path from "node:path";
import { XenoError } from "../../cowfs/errors.ts";
import { waitForLock } from "../../cowfs/journals/lock.ts";
import {
  checkKey,
  defaultMaximumBytes,
  type GetOptions,
  type ObjectStore,
  objectMissing,
  objectTooLarge,
  objectTooShort,
  type RequestOptions,
} from "./object-store.ts";

const leftoverAgeMs = 24 * 3600 * 1000;
const lockDeadlineMs = 10_000;

/** Opens the store in `root`; makes it where it is missing, unless `create` is false. */
export async function openDirectoryStore(root: string, options: { create?: boolean } = {}): Promise<ObjectStore> {
  const store = new DirectoryStore(path.resolve(root));
  try {
    if (options.create ?? true) await fs.mkdir(root, { recursive: true });
    await fs.access(root);
  } catch (cause) {
    throw new XenoError("store-unavailable", `${store.name} cannot be opened: ${(cause as Error).message}`, {
      cause,
      hint: "Check that the directory is there, mounted, and yours.",
    });
  }
  await removeLeftovers(path.join(root, "tmp"));
  return store;
}

async function removeLeftovers(directory: string): Promise<void> {
  const names = await fs.readdir(directory).catch(() => []);
  for (const name of names) {
    const file = path.join(directory, name);
    const stat = await fs.stat(file).catch(() => undefined);
    if (stat && Date.now() - stat.mtimeMs > leftoverAgeMs) await fs.rm(file, { force: true }).catch(() => {});
  }
}

class DirectoryStore implements ObjectStore {
  readonly name: string;
  readonly #root: string;

  constructor(root: string) {
    this.name = `the store ${root}`;
    this.#root = root;
  }

  async get(key: string, { range, maximumBytes = defaultMaximumBytes, signal }: GetOptions = {}): Promise<Buffer> {
    signal?.throwIfAborted();
    const file = this.#file(key);
    return await this.#run(key, async () => {
      await using handle = await fs.open(file, "r").catch((error) => {
        throw error.code === "ENOTDIR" ? objectMissing(this, key, error) : error;
      });
      const stat = await handle.stat();
      if (!stat.isFile()) throw objectMissing(this, key);
      const size = stat.size;
      const { start, length } = range ?? { start: 0, length: size };
      if (length > maximumBytes) throw objectTooLarge(key, length, maximumBytes);
      const bytes = Buffer.allocUnsafe(length);
      let done = 0;
      while (done < length) {
        const { bytesRead } = await handle.read(bytes, done, length - done, start + done);
        signal?.throwIfAborted();
        if (bytesRead === 0) throw objectTooShort(this, key, size);
        done += bytesRead;
      }
      return bytes;
    });
  }

  async putIfAbsent(key: string, bytes: Buffer, options: RequestOptions = {}): Promise<"stored" | "present"> {
    options.signal?.throwIfAborted();
    const file = this.#file(key);
    return await this.#run(key, async () => {
      if (await exists(file)) return "present";
      const temporary = await this.#writeTemporary(bytes);
      try {
        options.signal?.throwIfAborted();
        await makeDirectory(path.dirname(file));
        await fs.link(temporary, file);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "EEXIST" && (await exists(file))) return "present";
        throw error;
      } finally {
        await fs.rm(temporary, { force: true });
      }
      await syncDirectory(path.dirname(file));
      return "stored";
    });
  }

  async compareAndSet(key: string, expected: Buffer | undefined, bytes: Buffer): Promise<boolean> {
    const file = this.#file(key);
    return await this.#run(key, async () => {
      const lock = await this.#lock();
      try {
        const current = await fs.readFile(file).catch((error) => {
          if (error.code === "ENOENT") return undefined;
          throw error;
        });
        if (current === undefined ? expected !== undefined : !expected?.equals(current)) return false;
        await this.#replaceFile(file, bytes);
        return true;
      } finally {
        closeSync(lock);
      }
    });
  }

  async replace(key: string, bytes: Buffer, options: RequestOptions = {}): Promise<void> {
    options.signal?.throwIfAborted();
    const file = this.#file(key);
    await this.#run(key, () => this.#replaceFile(file, bytes));
  }

  async holds(key: string, bytes: Buffer, options: RequestOptions = {}): Promise<boolean> {
    if ((await this.stat(key))?.bytes !== bytes.length) return false;
    try {
      return (await this.get(key, { maximumBytes: bytes.length, signal: options.signal })).equals(bytes);
    } catch (error) {
      if (error instanceof XenoError && error.code.startsWith("object-")) return false;
      throw error;
    }
  }

  async list(prefix: string): Promise<string[]> {
    const start = prefix.replace(/\/$/, "");
    if (start !== "") checkKey(start);
    const keys: string[] = [];
    const directories = [start];
    await this.#run(prefix, async () => {
      for (let at = directories.pop(); at !== undefined; at = directories.pop()) {
        const entries = await fs.readdir(path.join(this.#root, at), { withFileTypes: true }).catch((error) => {
          if (error.code === "ENOENT" || error.code === "ENOTDIR") return [];
          throw error;
        });
        for (const entry of entries) {
          const key = at === "" ? entry.name : `${at}/${entry.name}`;
          if (entry.isDirectory() && key !== "tmp") directories.push(key);
          else if (entry.isFile() && key !== "lock") keys.push(key);
        }
      }
    });
    return keys.sort((a, b) => (a < b ? -1 : 1));
  }

  async stat(key: string): Promise<{ bytes: number } | undefined> {
    const file = this.#file(key);
    return await this.#run(key, async () => {
      const stat = await fs.stat(file).catch(missingAsUndefined);
      return stat?.isFile() ? { bytes: stat.size } : undefined;
    });
  }

  async delete(key: string): Promise<void> {
    const file = this.#file(key);
    await this.#run(key, async () => {
      await fs.unlink(file).catch(missingAsUndefined);
    });
  }

  #file(key: string): string {
    checkKey(key);
    return path.join(this.#root, key);
  }

  async #writeTemporary(bytes: Buffer): Promise<string> {
    await fs.mkdir(path.join(this.#root, "tmp"), { recursive: true });
    const temporary = path.join(this.#root, "tmp", randomUUID());
    try {
      await fs.writeFile(temporary, bytes, { flag: "wx", flush: true });
    } catch (error) {
      await fs.rm(temporary, { force: true });
      throw error;
    }
    return temporary;
  }

  async #replaceFile(file: string, bytes: Buffer): Promise<void> {
    const temporary = await this.#writeTemporary(bytes);
    try {
      await makeDirectory(path.dirname(file));
      await fs.rename(temporary, file);
    } finally {
      await fs.rm(temporary, { force: true });
    }
    await syncDirectory(path.dirname(file));
  }

  #lock(): Promise<number> {
    return waitForLock(path.join(this.#root, "lock"), this.name, lockDeadlineMs);
  }

  async #run<T>(key: string, run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      throw explain(error, this, key);
    }
  }
}

function explain(error: unknown, store: ObjectStore, key: string): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (error instanceof XenoError || typeof code !== "string") return error;
  if (code === "ENOENT") return objectMissing(store, key, error);
  if (["ENOSPC", "EDQUOT", "EFBIG"].includes(code))
    return new XenoError("store-full", `${store.name} has no room for ${key}`, {
      cause: error,
      hint: "Make room on its disk, then run the same command again: what was stored is not sent twice.",
    });
  if (["EISDIR", "ENOTDIR", "EEXIST"].includes(code))
    return new XenoError("store-key", `${store.name} cannot hold ${key} beside an object that is named like a folder`, {
      cause: error,
      hint: "Choose another name.",
    });
  return new XenoError("store-unavailable", `${store.name} cannot be used for ${key}: ${(error as Error).message}`, {
    cause: error,
    hint: "Check that the directory is there, mounted, and yours.",
  });
}

function missingAsUndefined(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT" && error.code !== "ENOTDIR") throw error;
}

async function exists(file: string): Promise<boolean> {
  return (await fs.stat(file).catch(missingAsUndefined))?.isFile() ?? false;
}

/** Makes a directory and those above it, each synced into its parent. */
async function makeDirectory(directory: string): Promise<void> {
  const first = await fs.mkdir(directory, { recursive: true });
  if (first === undefined) return;
  for (let made = directory; made.length >= first.length; made = path.dirname(made)) {
    await syncDirectory(path.dirname(made));
  }
}

async function syncDirectory(directory: string): Promise<void> {
  await using handle = await fs.open(directory, "r");
  await handle.sync();
}
