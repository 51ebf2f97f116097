/**
 * An address space whose reads are noted until somebody has seen enough: which chunks were read first, in order, and how
 * many of them were here already. A boot trace is made of it.
 */
import type { AddressSpace, ChunkTable } from "./address-space.ts";
import { ChunkSet } from "./residency.ts";

export interface Recording {
  /** Chunks in the order in which they were first read. */
  readonly chunks: readonly number[];
  /** Bytes of these chunks, and of those among them that were here when they were first asked for. */
  readonly readBytes: number;
  readonly readyBytes: number;
  /** By `performance.now()`, when a chunk was last read for the first time. */
  readonly lastNewAt: number;
  /** Reads are noted no more. */
  stop(): void;
}

interface Readable extends AddressSpace {
  has(chunk: number): boolean;
}

export class RecordedSpace implements AddressSpace, Recording {
  readonly chunks: number[] = [];
  readBytes = 0;
  readyBytes = 0;
  lastNewAt = performance.now();
  readonly #space: Readable;
  readonly #table: ChunkTable;
  #seen: ChunkSet | undefined;

  constructor(space: Readable, table: ChunkTable) {
    this.#space = space;
    this.#table = table;
    this.#seen = new ChunkSet(table.count);
  }

  read(address: number, length: number, target: Buffer, targetOffset: number): void {
    if (this.#seen !== undefined && length > 0) this.#note(this.#seen, address, length);
    this.#space.read(address, length, target, targetOffset);
  }

  stop(): void {
    this.#seen = undefined;
  }

  #note(seen: ChunkSet, address: number, length: number): void {
    const end = address + length;
    for (let chunk = this.#table.find(address); chunk < this.#table.count; chunk++) {
      if (this.#table.address(chunk) >= end) return;
      if (seen.has(chunk)) continue;
      seen.add(chunk);
      this.chunks.push(chunk);
      this.readBytes += this.#table.length(chunk);
      if (this.#space.has(chunk)) this.readyBytes += this.#table.length(chunk);
      this.lastNewAt = performance.now();
    }
  }
}
