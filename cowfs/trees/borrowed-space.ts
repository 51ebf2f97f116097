/**
 * A tree's address space over a local copy that another process owns: what that has brought is read from its files, and what
 * is missing is asked of it, by faults.
 *
 * - (R1) as in local-chunks.ts, for this process: it believes no chunk that it has not found to have its hash itself.
 * - (R6) Before the owner has recorded a chunk, which it does once the disk has it, each read looks at all of the chunk: a disk
 *   that could not write it may lose it from the page cache, and only the owner is told.
 * - (R7) It writes nothing. Its lock keeps others from taking away what it reads, whatever becomes of the owner.
 */
import { closeSync } from "node:fs";
import path from "node:path";
import { blake3 } from "@napi-rs/blake-hash";
import { XenoError } from "../errors.ts";
import { Fault, type Need } from "../fault.ts";
import type { AddressSpace, ChunkTable } from "./address-space.ts";
import { Flights } from "./flights.ts";
import { MemoryChunks } from "./memory-chunks.ts";
import { ChunkSet, RecordedChunks } from "./residency.ts";
import { SpaceFiles } from "./space-files.ts";

/**
 * Has the owner bring chunks: settles once they are in its files, with the bytes of those that found no room there and, in place
 * of what cannot be had, the error why. Rejects when nothing can be had.
 */
export type BringChunks = (
  chunks: readonly number[],
  signal: AbortSignal,
) => Promise<ReadonlyMap<number, Buffer | XenoError>>;

export interface BorrowedOptions {
  readonly directory: string;
  /** The descriptor that holds a share of the directory's lock (`shareDirectory`); closed with the space. */
  readonly lock: number;
  readonly treeId: string;
  readonly chunks: ChunkTable;
  readonly bring: BringChunks;
  /** For those; shared by the trees of a process. */
  readonly memory?: MemoryChunks;
}

/** At a time: chunks are at most 1 MiB, and may come along with the answer. */
const maxAskedChunks = 8;

export class BorrowedSpace implements AddressSpace {
  readonly #treeId: string;
  readonly #chunks: ChunkTable;
  readonly #lock: number;
  readonly #bringChunks: BringChunks;
  readonly #files: SpaceFiles;
  readonly #recorded: RecordedChunks;
  readonly #memory: MemoryChunks;
  /** Found to have their hashes by this process, and recorded. */
  readonly #verified: ChunkSet;
  readonly #closing = new AbortController();
  readonly #flights = new Flights();
  #demanded = new Set<number>();
  #grouping: Promise<void> | undefined;

  constructor({ directory, lock, treeId, chunks, bring, memory }: BorrowedOptions) {
    this.#treeId = treeId;
    this.#chunks = chunks;
    this.#lock = lock;
    this.#bringChunks = bring;
    this.#files = new SpaceFiles(directory, chunks.bytes, "use");
    this.#recorded = new RecordedChunks(path.join(directory, "residency"), treeId, chunks.count);
    this.#memory = memory ?? new MemoryChunks();
    this.#verified = new ChunkSet(chunks.count);
  }

  read(address: number, length: number, target: Buffer, targetOffset: number): void {
    if (length === 0) return;
    this.#closing.signal.throwIfAborted();
    const first = this.#chunks.find(address);
    const end = this.#chunks.find(address + length - 1) + 1;
    let isAllVerified = true;
    for (let chunk = first; chunk < end && isAllVerified; chunk++) isAllVerified = this.#verified.has(chunk);
    if (isAllVerified) {
      if (this.#files.read(address, length, target, targetOffset)) return;
      // Somebody cut the files short under us: what we knew of them is void.
      for (let chunk = first; chunk < end; chunk++) this.#verified.delete(chunk);
    }
    this.#readEach(first, end, { address, length, target, targetOffset });
  }

  /** Whether a chunk can be read without asking for it. */
  has(chunk: number): boolean {
    return this.#verified.has(chunk) || this.#look(chunk) !== undefined;
  }

  /** Bytes that the owner has recorded. */
  residentBytes(): number {
    let bytes = 0;
    for (let chunk = 0; chunk < this.#chunks.count; chunk++)
      if (this.#recorded.has(chunk)) bytes += this.#chunks.length(chunk);
    return bytes;
  }

  close(): void {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort(new XenoError("cache-closed", `the cache of tree ${this.#treeId} was closed`));
    for (let chunk = 0; chunk < this.#chunks.count && this.#memory.bytes > 0; chunk++)
      this.#memory.delete(this.#key(chunk));
    this.#files.close();
    this.#recorded.close();
    closeSync(this.#lock);
  }

  #readEach(
    first: number,
    end: number,
    {
      address,
      length,
      target,
      targetOffset,
    }: { address: number; length: number; target: Buffer; targetOffset: number },
  ): void {
    let missing: Need[] | undefined;
    for (let chunk = first; chunk < end; chunk++) {
      const bytes = this.#look(chunk);
      if (bytes === undefined) {
        missing ??= [];
        missing.push({ key: this.#key(chunk), bring: (signal) => this.#bring(chunk, signal) });
        continue;
      }
      const start = this.#chunks.address(chunk);
      const from = Math.max(address, start);
      const to = Math.min(address + length, start + bytes.length);
      bytes.copy(target, targetOffset + from - address, from - start, to - start);
    }
    if (missing) throw new Fault(missing);
  }

  /** (R1), (R6) A chunk's bytes, where they are here and have their hash. */
  #look(chunk: number): Buffer | undefined {
    const inMemory = this.#memory.bytes > 0 ? this.#memory.get(this.#key(chunk)) : undefined;
    if (inMemory !== undefined) return inMemory;
    const bytes = Buffer.allocUnsafe(this.#chunks.length(chunk));
    const isRecorded = this.#recorded.has(chunk);
    if (!this.#files.read(this.#chunks.address(chunk), bytes.length, bytes, 0)) return undefined;
    if (!this.#chunks.hasHash(chunk, blake3(bytes))) return undefined;
    if (isRecorded) this.#verified.add(chunk);
    return bytes;
  }

  /** All chunks that are demanded in one turn are asked for at once. */
  async #bring(chunk: number, signal: AbortSignal): Promise<void> {
    // Not looked at once more: who reads it has just done so, and will when it is here.
    if (this.#verified.has(chunk)) return;
    if (!this.#flights.has(chunk)) {
      this.#demanded.add(chunk);
      this.#grouping ??= Promise.resolve().then(() => this.#askDemanded());
      await this.#grouping;
    }
    await this.#flights.wait(chunk, signal);
  }

  #askDemanded(): void {
    const demanded = [...this.#demanded];
    this.#demanded = new Set();
    this.#grouping = undefined;
    while (demanded.length > 0) {
      const chunks = demanded.splice(0, maxAskedChunks);
      this.#flights.start(chunks, (given) => this.#ask(chunks, AbortSignal.any([given, this.#closing.signal])));
    }
  }

  /** The chunks that could not be had, and why; never rejects. */
  async #ask(chunks: readonly number[], signal: AbortSignal): Promise<ReadonlyMap<number, unknown>> {
    const failed = new Map<number, unknown>();
    try {
      const brought = await this.#bringChunks(chunks, signal);
      signal.throwIfAborted();
      for (const [chunk, bytes] of brought) {
        if (bytes instanceof XenoError) failed.set(chunk, bytes);
        else if (this.#chunks.hasHash(chunk, blake3(bytes))) this.#memory.put(this.#key(chunk), bytes);
      }
    } catch (error) {
      for (const chunk of chunks) failed.set(chunk, error);
    }
    return failed;
  }

  #key(chunk: number): string {
    return `${this.#treeId}:${chunk}`;
  }
}
