/**
 * The local copy of a tree's address space: what is here is read at once, what is missing is fetched by a fault.
 *
 * Invariants:
 * (R1) no byte is given out whose chunk was not found to have its hash in this life of the process: fetched chunks are
 *      verified before they are written, chunks of an earlier life when they are first read;
 * (R2) a residency bit reaches the disk after the data it speaks of (fdatasync), so that SIGKILL or a power cut at any
 *      moment leaves a cache that is only smaller;
 * (R3) a chunk is fetched once however many wait for it, and at most `maxFetches` fetches run at a time, those that
 *      somebody waits for before those that fill the cache ahead of time;
 * (R4) one process owns the directory (lock).
 *
 * Trusts the local disk for nothing but keeping its permissions (the directory is the owner's alone).
 */
import fs from "node:fs";
import path from "node:path";
import { blake3 } from "@napi-rs/blake-hash";
import PQueue from "p-queue";
import { XenoError } from "../errors.ts";
import { Fault, type Need } from "../fault.ts";
import { takeLock } from "../journals/lock.ts";
import type { AddressSpace, ChunkTable } from "./address-space.ts";
import { ChunkSet, Residency } from "./residency.ts";
import { SpaceFiles } from "./space-files.ts";

/**
 * Brings chunks from far away, decompressed. It may return more than was asked for (what came along anyway), and in
 * place of a chunk the error why it cannot be had; it rejects when nothing can be had. Bounds its own time.
 */
export type FetchChunks = (
  chunks: readonly number[],
  signal: AbortSignal,
) => Promise<ReadonlyMap<number, Buffer | XenoError>>;

export interface FillProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/** A fault also brings the missing chunks after it, up to so many bytes in all. */
const readAheadBytes = 256 * 1024;
const fillBatchBytes = 2 ** 20;
const maxFetches = 8;
const maxFills = 4;
/** Bits are persisted so long after a fetch; what a crash loses of them is fetched again. */
const persistDelayMs = 1000;

export class ResidentSpace implements AddressSpace {
  readonly #treeId: string;
  readonly #chunks: ChunkTable;
  readonly #fetchChunks: FetchChunks;
  readonly #lock: number;
  readonly #files: SpaceFiles;
  readonly #residency: Residency;
  /** Chunks on disk whose hash was checked in this life of the process (R1). */
  readonly #verified: ChunkSet;
  readonly #queue = new PQueue({ concurrency: maxFetches });
  readonly #closing = new AbortController();
  readonly #flights = new Map<number, PromiseWithResolvers<void>>();
  #demanded: number[] = [];
  #unsynced: number[] = [];
  #persistTimer: NodeJS.Timeout | undefined;
  #persisting: Promise<void> = Promise.resolve();

  /** Makes `directory` where it is missing. Throws `in-use` when another process has it open. */
  constructor(directory: string, treeId: string, chunks: ChunkTable, fetchChunks: FetchChunks) {
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
    this.#treeId = treeId;
    this.#chunks = chunks;
    this.#fetchChunks = fetchChunks;
    this.#lock = takeLock(path.join(directory, "lock"), `the cache ${directory}`);
    this.#files = new SpaceFiles(directory, chunks.bytes);
    try {
      this.#residency = new Residency(path.join(directory, "residency"), treeId, chunks.count);
    } catch (error) {
      fs.closeSync(this.#lock);
      throw error;
    }
    this.#verified = new ChunkSet(chunks.count);
  }

  read(address: number, length: number, target: Buffer, targetOffset: number): void {
    if (length === 0) return;
    this.#closing.signal.throwIfAborted();
    const first = this.#chunks.find(address);
    const end = this.#chunks.find(address + length - 1) + 1;
    let missing: Need[] | undefined;
    for (let chunk = first; chunk < end; chunk++) {
      if (!this.#isReadable(chunk)) {
        missing ??= [];
        missing.push(this.#need(chunk));
      }
    }
    if (missing) throw new Fault(missing);
    if (this.#files.read(address, length, target, targetOffset)) return;
    // Somebody cut the files short under us: what we knew of them is void.
    const lost: Need[] = [];
    for (let chunk = first; chunk < end; chunk++) {
      this.#forget(chunk);
      lost.push(this.#need(chunk));
    }
    throw new Fault(lost);
  }

  /** Fetches everything that is missing; yields to faults. Rejects with the first error, or when the signal aborts. */
  async fill(progress: (progress: FillProgress) => void, userSignal: AbortSignal): Promise<void> {
    const failure = new AbortController();
    const signal = AbortSignal.any([userSignal, failure.signal]);
    let next = 0;
    let doneBytes = 0;
    const fillBatches = async () => {
      while (next < this.#chunks.count) {
        signal.throwIfAborted();
        const batch: number[] = [];
        let bytes = 0;
        for (; next < this.#chunks.count && bytes < fillBatchBytes && batch.length < 1024; next++) {
          const length = this.#chunks.length(next);
          if (this.#isHere(next)) {
            doneBytes += length;
          } else {
            batch.push(next);
            bytes += length;
          }
        }
        await Promise.all(this.#startFlights(batch, 0).map((flight) => waitFor(flight, signal)));
        doneBytes += bytes;
        progress({ doneBytes, totalBytes: this.#chunks.bytes });
      }
    };
    const stopOthers = (error: unknown) => {
      failure.abort(error);
      throw error;
    };
    await Promise.all(Array.from({ length: maxFills }, () => fillBatches().catch(stopOthers)));
    progress({ doneBytes, totalBytes: this.#chunks.bytes });
    await this.#persist();
  }

  /** Bytes on the local disk. */
  residentBytes(): number {
    let bytes = 0;
    for (let chunk = 0; chunk < this.#chunks.count; chunk++)
      if (this.#isHere(chunk)) bytes += this.#chunks.length(chunk);
    return bytes;
  }

  /** Cancels what is being fetched, persists what is here, and gives the directory up. */
  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort(new XenoError("cache-closed", `the cache of tree ${this.#treeId} was closed`));
    await this.#queue.onIdle();
    await this.#persist().catch(() => {});
    this.#files.close();
    this.#residency.close();
    fs.closeSync(this.#lock);
  }

  #isHere(chunk: number): boolean {
    return this.#verified.has(chunk) || this.#residency.has(chunk);
  }

  /** (R1) */
  #isReadable(chunk: number): boolean {
    if (this.#verified.has(chunk)) return true;
    if (!this.#residency.has(chunk)) return false;
    const bytes = Buffer.allocUnsafe(this.#chunks.length(chunk));
    if (this.#files.read(this.#chunks.address(chunk), bytes.length, bytes, 0) && this.#hasHash(chunk, bytes)) {
      this.#verified.add(chunk);
      return true;
    }
    this.#forget(chunk);
    return false;
  }

  #hasHash(chunk: number, bytes: Buffer): boolean {
    return bytes.length === this.#chunks.length(chunk) && this.#chunks.hasHash(chunk, blake3(bytes));
  }

  #forget(chunk: number): void {
    this.#verified.delete(chunk);
    this.#residency.forget(chunk);
  }

  #need(chunk: number): Need {
    return { key: `${this.#treeId}:${chunk}`, bring: (signal) => this.#bring(chunk, signal) };
  }

  /** All chunks that are demanded in one turn are grouped before they are fetched. */
  #bring(chunk: number, signal: AbortSignal): Promise<void> {
    if (this.#isReadable(chunk)) return Promise.resolve();
    const flight = this.#flights.get(chunk);
    if (flight) return waitFor(flight.promise, signal);
    if (this.#demanded.length === 0) queueMicrotask(() => this.#fetchDemanded());
    this.#demanded.push(chunk);
    return waitFor(this.#addFlight(chunk).promise, signal);
  }

  #fetchDemanded(): void {
    const demanded = this.#demanded.sort((a, b) => a - b);
    this.#demanded = [];
    while (demanded.length > 0) {
      const group = [demanded.shift()!];
      let bytes = this.#chunks.length(group[0]);
      for (let chunk = group[0] + 1; chunk < this.#chunks.count; chunk++) {
        bytes += this.#chunks.length(chunk);
        if (bytes > readAheadBytes) break;
        if (demanded[0] === chunk) {
          demanded.shift();
        } else {
          if (this.#isHere(chunk) || this.#flights.has(chunk)) break;
          this.#addFlight(chunk);
        }
        group.push(chunk);
      }
      this.#enqueue(group, 1);
    }
  }

  /** Promises for all of `chunks`; fetches those that are not being fetched already. */
  #startFlights(chunks: readonly number[], priority: number): Promise<void>[] {
    const group = chunks.filter((chunk) => !this.#flights.has(chunk));
    for (const chunk of group) this.#addFlight(chunk);
    const flights = chunks.map((chunk) => this.#flights.get(chunk)!.promise);
    if (group.length > 0) this.#enqueue(group, priority);
    return flights;
  }

  #addFlight(chunk: number): PromiseWithResolvers<void> {
    const flight = Promise.withResolvers<void>();
    flight.promise.catch(() => {});
    this.#flights.set(chunk, flight);
    return flight;
  }

  #enqueue(group: readonly number[], priority: number): void {
    void this.#queue.add(() => this.#fetch(group), { priority });
  }

  /** Settles the flights of the group; never rejects. */
  async #fetch(group: readonly number[]): Promise<void> {
    const failed = new Map<number, unknown>();
    try {
      this.#closing.signal.throwIfAborted();
      const fetched = await this.#fetchChunks(group, this.#closing.signal);
      this.#closing.signal.throwIfAborted();
      for (const chunk of group)
        if (!fetched.has(chunk)) failed.set(chunk, this.#damaged(chunk, "was not in its pack"));
      await this.#store(fetched, failed);
    } catch (error) {
      for (const chunk of group) failed.set(chunk, error);
    }
    for (const chunk of group) {
      const flight = this.#flights.get(chunk);
      this.#flights.delete(chunk);
      if (failed.has(chunk)) flight?.reject(failed.get(chunk));
      else flight?.resolve();
    }
  }

  /** Verifies and writes; neighbours in one write. */
  async #store(fetched: ReadonlyMap<number, Buffer | XenoError>, failed: Map<number, unknown>): Promise<void> {
    const good: number[] = [];
    for (const [chunk, bytes] of fetched) {
      if (bytes instanceof XenoError) failed.set(chunk, bytes);
      else if (!this.#hasHash(chunk, bytes)) failed.set(chunk, this.#damaged(chunk, "does not have its hash"));
      else if (!this.#verified.has(chunk)) good.push(chunk);
    }
    good.sort((a, b) => a - b);
    while (good.length > 0) {
      let length = 1;
      while (good[length] === good[0] + length) length++;
      const run = good.splice(0, length);
      const bytes = Buffer.concat(run.map((chunk) => fetched.get(chunk) as Buffer));
      await this.#files.write(this.#chunks.address(run[0]), bytes);
      for (const chunk of run) this.#verified.add(chunk);
      this.#unsynced.push(...run);
    }
    if (!this.#persistTimer && this.#unsynced.length > 0) {
      this.#persistTimer = setTimeout(() => void this.#persist().catch(() => {}), persistDelayMs).unref();
    }
  }

  #damaged(chunk: number, what: string): XenoError {
    return new XenoError("object-damaged", `chunk ${this.#chunks.hash(chunk)} of tree ${this.#treeId} ${what}`, {
      hint: "The store or its pack map is damaged: publish the tree again to repair it.",
    });
  }

  /** (R2); one at a time. */
  #persist(): Promise<void> {
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

  /** First and last addresses, since a chunk may lie across two files. */
  *#addressesOf(chunks: readonly number[]): Generator<number> {
    for (const chunk of chunks) {
      yield this.#chunks.address(chunk);
      yield this.#chunks.address(chunk) + this.#chunks.length(chunk) - 1;
    }
  }
}

/** Settles as the promise does, or rejects as soon as the signal aborts. */
async function waitFor<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort);
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
