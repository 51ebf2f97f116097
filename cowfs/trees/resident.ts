/**
 * The local copy of a tree's address space: what is here is read at once, what is missing is fetched by a fault.
 *
 * (R3) a chunk is fetched once however many wait for it; what somebody waits for goes before what is brought ahead of
 *      time, which keeps to one fetch at a time while anybody waits. (R1), (R2), (R4), (R5): local-chunks.ts.
 */
import { closeSync } from "node:fs";
import fs from "node:fs/promises";
import path from "node:path";
import PQueue from "p-queue";
import { XenoError } from "../errors.ts";
import { Fault, type Need } from "../fault.ts";
import { waitForDirectoryLock, waitForLock } from "../journals/lock.ts";
import type { AddressSpace, ChunkTable } from "./address-space.ts";
import { Flights } from "./flights.ts";
import { explainDisk, LocalChunks, type LocalChunksOptions } from "./local-chunks.ts";

/**
 * Brings chunks from far away, decompressed. It may return more than was asked for (what came along anyway), and in
 * place of a chunk the error why it cannot be had; it rejects when nothing can be had. Bounds its own time. `ahead`:
 * nobody waits for them yet.
 */
export type FetchChunks = (
  chunks: readonly number[],
  options: { readonly signal: AbortSignal; readonly ahead: boolean },
) => Promise<ReadonlyMap<number, Buffer | XenoError>>;

export interface ResidentOptions extends LocalChunksOptions {
  readonly fetch: FetchChunks;
  /** How long a fetch goes on that nobody waits for any more, in ms; see flights.ts. */
  readonly lingerMs?: number;
}

export interface FillProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export interface AheadOptions {
  readonly signal: AbortSignal;
  /** Which chunks, about in this order; all by default. */
  readonly chunks?: Iterable<number>;
  /** Bytes of the chunks that were named, and of those that are here. */
  onProgress?(progress: FillProgress): void;
  /** Settles when so many more bytes may be brought: a rate cap. */
  pace?(bytes: number, signal: AbortSignal): Promise<void>;
}

/** Locked by the process that owns a tree's directory (R4). */
export const ownerFile = "lock";

/**
 * Locks the directory of a tree, which is made where it is missing; returns the descriptor that holds the lock. Throws
 * `in-use` when another process has it for longer than `patienceMs`, `cache-full` where it cannot even be made.
 */
export async function lockDirectory(directory: string, patienceMs = 0): Promise<number> {
  try {
    await fs.mkdir(directory, { recursive: true, mode: 0o700 });
    return await waitForLock(path.join(directory, ownerFile), `the cache ${directory}`, patienceMs);
  } catch (cause) {
    throw explainDisk(cause, directory);
  }
}

/** A share of what keeps a tree's directory from being evicted, for who reads it and does not own it: as `lockDirectory`. */
export async function shareDirectory(directory: string, patienceMs = 0): Promise<number> {
  try {
    await fs.mkdir(directory, { recursive: true, mode: 0o700 });
    return await waitForDirectoryLock(directory, `the cache ${directory}`, patienceMs, { isShared: true });
  } catch (cause) {
    throw explainDisk(cause, directory);
  }
}

/** The same as making it, with the lock taken. */
export async function openResidentSpace(options: Omit<ResidentOptions, "lock">): Promise<ResidentSpace> {
  const lock = await lockDirectory(options.directory);
  try {
    return new ResidentSpace({ ...options, lock });
  } catch (error) {
    closeSync(lock);
    throw error;
  }
}

/**
 * Neighbours that are demanded come in one fetch of at most so many bytes; a fault also brings the missing chunks after it,
 * up to fewer bytes in all. Of a Debian guest's boot, 256 KiB bring 11 % more than nothing ahead, 128 KiB 2 % (and need
 * 97 requests instead of 106).
 */
const groupBytes = 256 * 1024;
const readAheadBytes = 128 * 1024;
const aheadBatchBytes = 2 ** 20;
const aheadBatchChunks = 1024;
const maxFetches = 8;
const maxAheadFetches = 4;

export class ResidentSpace implements AddressSpace {
  readonly #treeId: string;
  readonly #chunks: ChunkTable;
  readonly #fetchChunks: FetchChunks;
  readonly #local: LocalChunks;
  readonly #flights: Flights;
  readonly #demands = new PQueue({ concurrency: maxFetches });
  readonly #ahead = new PQueue({ concurrency: maxAheadFetches });
  readonly #closing = new AbortController();
  /** What came last found no room on the disk (R5): demands go on in memory, what is ahead of its time waits for room. */
  #isDiskFull = false;
  #demanded = new Set<number>();
  #grouping: Promise<void> | undefined;

  /** Owns `options.lock` once it is made. */
  constructor(options: ResidentOptions) {
    this.#treeId = options.treeId;
    this.#chunks = options.chunks;
    this.#fetchChunks = options.fetch;
    this.#flights = new Flights(options.lingerMs);
    this.#local = new LocalChunks(options);
  }

  read(address: number, length: number, target: Buffer, targetOffset: number): void {
    if (length === 0) return;
    this.#closing.signal.throwIfAborted();
    const first = this.#chunks.find(address);
    const end = this.#chunks.find(address + length - 1) + 1;
    let missing: Need[] | undefined;
    for (let chunk = first; chunk < end; chunk++) {
      if (!this.#local.isReadable(chunk)) {
        missing ??= [];
        missing.push(this.#need(chunk));
      }
    }
    if (missing) throw new Fault(missing);
    if (this.#local.read(first, end, address, length, target, targetOffset)) return;
    throw new Fault(Array.from({ length: end - first }, (_, index) => this.#need(first + index)));
  }

  /** Whether a chunk can be read without a fetch, as far as is known. */
  has(chunk: number): boolean {
    return this.#local.has(chunk);
  }

  /** Brings chunks for another process (borrowed-space.ts), as a fault would: BringChunks. */
  async bring(chunks: readonly number[], signal: AbortSignal): Promise<ReadonlyMap<number, Buffer | XenoError>> {
    const brought = new Map<number, Buffer | XenoError>();
    await Promise.all(
      chunks.map(async (chunk) => {
        try {
          this.#local.recheck(chunk);
          await this.#bring(chunk, signal);
          const bytes = this.#local.readMemory(chunk);
          if (bytes !== undefined) brought.set(chunk, bytes);
        } catch (error) {
          if (!(error instanceof XenoError)) throw error;
          brought.set(chunk, error);
        }
      }),
    );
    return brought;
  }

  /**
   * Fetches what is missing; yields to faults. Rejects with the first error, or when the signal aborts; what came until
   * then is here.
   */
  async bringAhead({ chunks, signal: given, onProgress, pace }: AheadOptions): Promise<void> {
    const order = [...(chunks ?? Array(this.#chunks.count).keys())];
    const totalBytes = order.reduce((sum, chunk) => sum + this.#chunks.length(chunk), 0);
    const failure = new AbortController();
    const signal = AbortSignal.any([given, failure.signal, this.#closing.signal]);
    let next = 0;
    let doneBytes = 0;
    const takeBatch = () => {
      const batch: number[] = [];
      let bytes = 0;
      for (; next < order.length && bytes < aheadBatchBytes && batch.length < aheadBatchChunks; next++) {
        const length = this.#chunks.length(order[next]);
        if (this.has(order[next])) {
          doneBytes += length;
        } else {
          batch.push(order[next]);
          bytes += length;
        }
      }
      return { batch, bytes };
    };
    const bringBatches = async () => {
      while (next < order.length) {
        signal.throwIfAborted();
        const { batch, bytes } = takeBatch();
        await pace?.(bytes, signal);
        await this.#ahead.add(() => this.#bringBatch(batch, signal));
        doneBytes += bytes;
        onProgress?.({ doneBytes, totalBytes });
      }
    };
    const stopOthers = (error: unknown) => {
      failure.abort(error);
      throw error;
    };
    await Promise.all(Array.from({ length: maxAheadFetches }, () => bringBatches().catch(stopOthers)));
    onProgress?.({ doneBytes, totalBytes });
    await this.#local.persist();
  }

  /** Bytes on the local disk. */
  residentBytes(): number {
    let bytes = 0;
    for (let chunk = 0; chunk < this.#chunks.count; chunk++)
      if (this.#local.isOnDisk(chunk)) bytes += this.#chunks.length(chunk);
    return bytes;
  }

  /** Cancels what is being fetched, persists what is here, and gives the directory up. */
  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort(new XenoError("cache-closed", `the cache of tree ${this.#treeId} was closed`));
    await Promise.all([this.#demands.onIdle(), this.#ahead.onIdle()]);
    await this.#local.close();
  }

  #need(chunk: number): Need {
    return { key: `${this.#treeId}:${chunk}`, bring: (signal) => this.#bring(chunk, signal) };
  }

  /** All chunks that are demanded in one turn are grouped before they are fetched. */
  async #bring(chunk: number, signal: AbortSignal): Promise<void> {
    if (this.#local.isReadable(chunk)) return;
    if (!this.#flights.has(chunk)) {
      this.#demanded.add(chunk);
      this.#grouping ??= Promise.resolve().then(() => this.#fetchDemanded());
      await this.#grouping;
    }
    await this.#flights.wait(chunk, signal);
  }

  #fetchDemanded(): void {
    const demanded = [...this.#demanded].sort((a, b) => a - b);
    this.#demanded = new Set();
    this.#grouping = undefined;
    while (demanded.length > 0) {
      const group = [demanded.shift()!];
      let bytes = this.#chunks.length(group[0]);
      for (let chunk = group[0] + 1; chunk < this.#chunks.count; chunk++) {
        bytes += this.#chunks.length(chunk);
        if (bytes > (demanded[0] === chunk ? groupBytes : readAheadBytes)) break;
        if (demanded[0] === chunk) demanded.shift();
        else if (this.has(chunk) || this.#flights.has(chunk)) break;
        group.push(chunk);
      }
      this.#flights.start(group, (given) => this.#fetchFirst(group, given));
    }
  }

  /** (R3) */
  async #fetchFirst(group: readonly number[], given: AbortSignal): Promise<ReadonlyMap<number, unknown>> {
    this.#ahead.concurrency = 1;
    const failed = await this.#demands.add(() => this.#fetch(group, given, false));
    if (this.#demands.size === 0 && this.#demands.pending === 0) this.#ahead.concurrency = maxAheadFetches;
    return failed;
  }

  /** Chunks are claimed when their fetch begins and not before: else a fault would wait for its turn here (R3). */
  async #bringBatch(batch: readonly number[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const missing = batch.filter((chunk) => !this.has(chunk) && !this.#flights.has(chunk));
    if (missing.length > 0) this.#flights.start(missing, (given) => this.#fetch(missing, given, true));
    await Promise.all(batch.map((chunk) => this.#flights.wait(chunk, signal)));
    if (missing.length > 0 && this.#isDiskFull)
      throw new XenoError("cache-full", `there is no room to bring more of tree ${this.#treeId} ahead of time`, {
        hint: "Make room on the disk of the cache, or give the cache a larger size.",
      });
  }

  /** The chunks that could not be had, and why; never rejects. */
  async #fetch(group: readonly number[], given: AbortSignal, ahead: boolean): Promise<ReadonlyMap<number, unknown>> {
    const failed = new Map<number, unknown>();
    const signal = AbortSignal.any([given, this.#closing.signal]);
    try {
      signal.throwIfAborted();
      const fetched = await this.#fetchChunks(group, { signal, ahead });
      this.#closing.signal.throwIfAborted();
      for (const chunk of group)
        if (!fetched.has(chunk)) failed.set(chunk, this.#damaged(chunk, "was not in its pack"));
      const good = new Map<number, Buffer>();
      for (const [chunk, bytes] of fetched) {
        if (bytes instanceof XenoError) failed.set(chunk, bytes);
        else if (this.#local.hasHash(chunk, bytes)) good.set(chunk, bytes);
        else failed.set(chunk, this.#damaged(chunk, "does not have its hash"));
      }
      this.#isDiskFull = !(await this.#local.store(good));
    } catch (error) {
      for (const chunk of group) failed.set(chunk, error);
    }
    return failed;
  }

  #damaged(chunk: number, what: string): XenoError {
    return new XenoError("object-damaged", `chunk ${this.#chunks.hash(chunk)} of tree ${this.#treeId} ${what}`, {
      hint: "The store or its pack map is damaged: publish the tree again to repair it.",
    });
  }
}
