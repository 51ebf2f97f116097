/**
 * The chunks of a tree that are on the local disk, or, where that has no room, in memory.
 *
 * Invariants:
 * (R1) no byte is given out whose chunk was not found to have its hash in this life of the process: what is stored is
 *      verified before it is written, chunks of an earlier life when they are first read;
 * (R2) a residency bit reaches the disk after the data it speaks of (fdatasync), so that SIGKILL or a power cut at any
 *      moment leaves a cache that is only smaller;
 * (R4) one process owns the directory (lock), and is the only one that writes there; others may read it (borrowed-space.ts);
 * (R5) a full disk costs memory and time, never an answer: what finds no room is served from `MemoryChunks`.
 *
 * Trusts the local disk for nothing but keeping its permissions (the directory is the owner's alone).
 */
import fs from "node:fs";
import path from "node:path";
import { blake3 } from "@napi-rs/blake-hash";
import { XenoError } from "../errors.ts";
import type { ChunkTable } from "./address-space.ts";
import { MemoryChunks } from "./memory-chunks.ts";
import { ChunkSet, Residency } from "./residency.ts";
import { SpaceFiles } from "./space-files.ts";

export interface LocalChunksOptions {
  readonly directory: string;
  /** The descriptor that holds the directory's lock (R4); closed with the chunks. */
  readonly lock: number;
  readonly treeId: string;
  readonly chunks: ChunkTable;
  /** Where chunks go that the disk has no room for; shared by the trees of a process. */
  readonly memory?: MemoryChunks;
  /** Asked before bytes are written: whether the cache may grow by so many. Default: always. */
  takeRoom?(bytes: number): Promise<boolean>;
}

/** Bits are persisted so long after a fetch; what a crash loses of them is fetched again. */
const persistDelayMs = 1000;

export class LocalChunks {
  readonly #treeId: string;
  readonly #chunks: ChunkTable;
  readonly #takeRoom: (bytes: number) => Promise<boolean>;
  readonly #lock: number;
  readonly #files: SpaceFiles;
  readonly #residency: Residency;
  readonly #memory: MemoryChunks;
  /** Chunks on disk whose hash was checked in this life of the process (R1). */
  readonly #verified: ChunkSet;
  #unsynced: number[] = [];
  #persistTimer: NodeJS.Timeout | undefined;
  #persisting: Promise<void> = Promise.resolve();

  /** Throws `cache-unwritable`. */
  constructor(options: LocalChunksOptions) {
    const { directory, treeId, chunks } = options;
    this.#lock = options.lock;
    this.#treeId = treeId;
    this.#chunks = chunks;
    this.#takeRoom = options.takeRoom ?? (async () => true);
    this.#memory = options.memory ?? new MemoryChunks();
    this.#files = new SpaceFiles(directory, chunks.bytes);
    try {
      this.#residency = new Residency(path.join(directory, "residency"), treeId, chunks.count);
    } catch (cause) {
      throw explainDisk(cause, directory);
    }
    this.#verified = new ChunkSet(chunks.count);
    this.#forgetEvicted();
  }

  /** Whether a chunk is here, as far as is known without reading it. */
  has(chunk: number): boolean {
    return this.isOnDisk(chunk) || this.#isInMemory(chunk);
  }

  isOnDisk(chunk: number): boolean {
    return this.#verified.has(chunk) || this.#residency.has(chunk);
  }

  /** (R1) Reads and checks a chunk of an earlier life. */
  isReadable(chunk: number): boolean {
    if (this.#verified.has(chunk) || this.#isInMemory(chunk)) return true;
    if (!this.#residency.has(chunk)) return false;
    if (this.#isIntact(chunk)) {
      this.#verified.add(chunk);
      return true;
    }
    this.forget(chunk);
    return false;
  }

  /** Looks again at a chunk that another process did not find where it should be. */
  recheck(chunk: number): void {
    if (this.#verified.has(chunk) && !this.#isIntact(chunk)) this.forget(chunk);
  }

  /** Copies a range whose chunks, `first` to before `end`, are readable. False where they no longer are. */
  read(first: number, end: number, address: number, length: number, target: Buffer, targetOffset: number): boolean {
    let isScattered = false;
    if (this.#memory.bytes > 0)
      for (let chunk = first; chunk < end && !isScattered; chunk++) isScattered = !this.#verified.has(chunk);
    if (isScattered) return this.#readScattered(address, length, target, targetOffset);
    if (this.#files.read(address, length, target, targetOffset)) return true;
    // Somebody cut the files short under us: what we knew of them is void.
    for (let chunk = first; chunk < end; chunk++) this.forget(chunk);
    return false;
  }

  /** A chunk that is not on disk (R5). */
  readMemory(chunk: number): Buffer | undefined {
    return this.#verified.has(chunk) || !this.#isInMemory(chunk) ? undefined : this.#memory.get(this.#key(chunk));
  }

  hasHash(chunk: number, bytes: Buffer): boolean {
    return bytes.length === this.#chunks.length(chunk) && this.#chunks.hasHash(chunk, blake3(bytes));
  }

  forget(chunk: number): void {
    this.#verified.delete(chunk);
    this.#residency.forget(chunk);
  }

  /**
   * Keeps chunks whose hashes were checked; neighbours in one write. True when all found room on the disk. Throws
   * `cache-unwritable`.
   */
  async store(fetched: ReadonlyMap<number, Buffer>): Promise<boolean> {
    let hasRoom = true;
    const left = [...fetched.keys()].filter((chunk) => !this.#verified.has(chunk)).sort((a, b) => a - b);
    while (left.length > 0) {
      let length = 1;
      while (left[length] === left[0] + length) length++;
      const run = left.splice(0, length);
      if (await this.#write(run, fetched)) {
        for (const chunk of run) this.#verified.add(chunk);
        this.#unsynced.push(...run);
      } else {
        hasRoom = false;
        for (const chunk of run) this.#memory.put(this.#key(chunk), Buffer.from(fetched.get(chunk)!));
      }
    }
    if (!this.#persistTimer && this.#unsynced.length > 0) {
      this.#persistTimer = setTimeout(() => void this.persist().catch(() => {}), persistDelayMs).unref();
    }
    return hasRoom;
  }

  /** (R2); one at a time. */
  persist(): Promise<void> {
    clearTimeout(this.#persistTimer);
    this.#persistTimer = undefined;
    const chunks = this.#unsynced;
    this.#unsynced = [];
    this.#persisting = this.#persisting
      .catch(() => {})
      .then(async () => {
        try {
          await this.#files.sync(this.#addressesOf(chunks));
          await this.#residency.record(chunks);
        } catch (error) {
          // After a failed sync the kernel may drop pages that it could not write: they are here no longer.
          for (const chunk of chunks) this.#verified.delete(chunk);
          throw error;
        }
      });
    return this.#persisting;
  }

  /** Persists what is here and gives the directory up. */
  async close(): Promise<void> {
    await this.persist().catch(() => {});
    for (let chunk = 0; chunk < this.#chunks.count && this.#memory.bytes > 0; chunk++)
      this.#memory.delete(this.#key(chunk));
    this.#files.close();
    this.#residency.close();
    fs.closeSync(this.#lock);
  }

  #isIntact(chunk: number): boolean {
    const bytes = Buffer.allocUnsafe(this.#chunks.length(chunk));
    return this.#files.read(this.#chunks.address(chunk), bytes.length, bytes, 0) && this.hasHash(chunk, bytes);
  }

  #isInMemory(chunk: number): boolean {
    return this.#memory.bytes > 0 && this.#memory.has(this.#key(chunk));
  }

  #key(chunk: number): string {
    return `${this.#treeId}:${chunk}`;
  }

  /** Where some chunks of the range are on disk and some in memory (R5). */
  #readScattered(address: number, length: number, target: Buffer, targetOffset: number): boolean {
    const end = address + length;
    for (let at = address; at < end; ) {
      const chunk = this.#chunks.find(at);
      const start = this.#chunks.address(chunk);
      const part = Math.min(end, start + this.#chunks.length(chunk)) - at;
      const bytes = this.#verified.has(chunk) ? undefined : this.#memory.get(this.#key(chunk));
      if (bytes !== undefined) bytes.copy(target, targetOffset + at - address, at - start, at - start + part);
      else if (!this.#files.read(at, part, target, targetOffset + at - address)) {
        this.forget(chunk);
        return false;
      }
      at += part;
    }
    return true;
  }

  /** False where there is no room (R5). */
  async #write(run: readonly number[], fetched: ReadonlyMap<number, Buffer>): Promise<boolean> {
    const bytes = Buffer.concat(run.map((chunk) => fetched.get(chunk)!));
    if (!(await this.#takeRoom(bytes.length))) return false;
    try {
      await this.#files.write(this.#chunks.address(run[0]), bytes);
      return true;
    } catch (error) {
      if (error instanceof XenoError && error.code === "cache-full") return false;
      throw error;
    }
  }

  /** Files that were evicted while nobody had the tree open. Their bits would be found out one by one (R1). */
  #forgetEvicted(): void {
    const missing = this.#files.listMissing();
    if (missing.size === 0) return;
    const gone: number[] = [];
    for (let chunk = 0; chunk < this.#chunks.count; chunk++) {
      if (!this.#residency.has(chunk)) continue;
      for (const address of this.#addressesOf([chunk])) if (missing.has(this.#files.fileOf(address))) gone.push(chunk);
    }
    for (const chunk of gone) this.#residency.forget(chunk);
  }

  /** First and last addresses, since a chunk may lie across two files. */
  *#addressesOf(chunks: readonly number[]): Generator<number> {
    for (const chunk of chunks) {
      yield this.#chunks.address(chunk);
      yield this.#chunks.address(chunk) + this.#chunks.length(chunk) - 1;
    }
  }
}

/** The same for whoever wants to use a directory of a cache at all. */
export function explainDisk(cause: unknown, directory: string): XenoError {
  if (cause instanceof XenoError) return cause;
  const isFull = ["ENOSPC", "EDQUOT"].includes((cause as NodeJS.ErrnoException).code ?? "");
  return new XenoError(
    isFull ? "cache-full" : "cache-unwritable",
    `cannot use the cache ${directory}: ${(cause as Error).message}`,
    { cause, hint: isFull ? "Make room on the disk of the cache." : "Check the disk and its permissions." },
  );
}
