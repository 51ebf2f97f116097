/**
 * An address space on the local disk: a few sparse files, each a fixed share of the addresses.
 *
 * Reads are plain `pread`, so that all readers share the kernel's page cache; writes and syncs run off the event loop.
 */
import fs from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { XenoError } from "../errors.ts";

const write = promisify(fs.write);
const fdatasync = promisify(fs.fdatasync);

/** Each open file costs a descriptor: larger spaces get larger files instead of more. */
const maxFiles = 256;
const minFileBytes = 16 * 2 ** 20;

/** Who does not own the files makes and changes nothing; who only looks has not used them either. */
export type SpaceAccess = "own" | "use" | "look";

export class SpaceFiles {
  readonly #directory: string;
  readonly #fileBytes: number;
  readonly #descriptors = new Map<number, number>();
  readonly #count: number;
  readonly #access: SpaceAccess;

  /** `bytes`: of the whole address space. */
  constructor(directory: string, bytes: number, access: SpaceAccess = "own") {
    this.#directory = directory;
    this.#access = access;
    this.#fileBytes = Math.max(minFileBytes, 2 ** Math.ceil(Math.log2(Math.max(1, bytes / maxFiles))));
    this.#count = Math.ceil(bytes / this.#fileBytes);
  }

  /** The number of the file that holds an address. */
  fileOf(address: number): number {
    return Math.floor(address / this.#fileBytes);
  }

  /** The numbers of files that are not there: never written, or evicted. */
  listMissing(): Set<number> {
    const missing = new Set<number>();
    for (let file = 0; file < this.#count; file++) if (!fs.existsSync(this.#name(file))) missing.add(file);
    return missing;
  }

  /** Whether all `length` bytes were there to be read. */
  read(address: number, length: number, target: Buffer, targetOffset: number): boolean {
    for (const part of this.#split(address, length)) {
      const from = targetOffset + part.start;
      try {
        const read = fs.readSync(this.#open(part.file), target, from, part.length, part.position);
        if (read < part.length) return false;
      } catch (cause) {
        if (this.#access !== "own" && (cause as NodeJS.ErrnoException).code === "ENOENT") return false;
        throw new XenoError("cache-unreadable", `cannot read ${this.#name(part.file)}: ${(cause as Error).message}`, {
          cause,
          hint: "Check the disk. The cache can be deleted while nothing uses it; it fills again by itself.",
        });
      }
    }
    return true;
  }

  /** Writes all of `bytes`. Throws `cache-full` or `cache-unwritable`. */
  async write(address: number, bytes: Buffer): Promise<void> {
    for (const part of this.#split(address, bytes.length)) {
      try {
        for (let done = 0; done < part.length; ) {
          const { bytesWritten } = await write(
            this.#open(part.file),
            bytes,
            part.start + done,
            part.length - done,
            part.position + done,
          );
          done += bytesWritten;
        }
      } catch (cause) {
        const isFull = ["ENOSPC", "EDQUOT", "EFBIG"].includes((cause as NodeJS.ErrnoException).code ?? "");
        throw new XenoError(
          isFull ? "cache-full" : "cache-unwritable",
          `cannot write ${this.#name(part.file)}: ${(cause as Error).message}`,
          { cause, hint: isFull ? "Make room on the disk of the cache." : "Check the disk and its permissions." },
        );
      }
    }
  }

  /** Brings the data of these addresses to stable storage. */
  async sync(addresses: Iterable<number>): Promise<void> {
    const files = new Set<number>();
    for (const address of addresses) files.add(this.fileOf(address));
    for (const file of files) await fdatasync(this.#open(file));
  }

  /** The times of the files that were used say so, for whoever evicts the others first. */
  close(): void {
    const now = new Date();
    for (const descriptor of this.#descriptors.values()) {
      if (this.#access !== "look") fs.futimesSync(descriptor, now, now);
      fs.closeSync(descriptor);
    }
    this.#descriptors.clear();
  }

  /** The parts of a range, one per file; `start` counts from the start of the range. */
  *#split(address: number, length: number) {
    for (let start = 0; start < length; ) {
      const file = Math.floor((address + start) / this.#fileBytes);
      const position = address + start - file * this.#fileBytes;
      const part = Math.min(length - start, this.#fileBytes - position);
      yield { file, position, start, length: part };
      start += part;
    }
  }

  #open(file: number): number {
    let descriptor = this.#descriptors.get(file);
    if (descriptor === undefined) {
      const flags = this.#access === "own" ? fs.constants.O_RDWR | fs.constants.O_CREAT : fs.constants.O_RDONLY;
      descriptor = fs.openSync(this.#name(file), flags, 0o600);
      this.#descriptors.set(file, descriptor);
    }
    return descriptor;
  }

  #name(file: number): string {
    return path.join(this.#directory, `${String(file).padStart(4, "0")}.space`);
  }
}
