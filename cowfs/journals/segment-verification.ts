/**
 * How the bytes of segments are verified: by the checksums of their blocks (segment-sums.ts), and where a process that died has
 * left none, by the records of its log (segment-tails.ts), out of which checksums of blocks are made when they are first needed.
 */
import { crc32 } from "@node-rs/crc32";
import { blockBytes, findDamage, SegmentSums, type Sums } from "./segment-sums.ts";
import { SegmentTails } from "./segment-tails.ts";
import { segmentBytes } from "./segment-use.ts";

/** Of what is to be read again for its checksums, so much at a time. */
const catchUpBytes = 256 * 1024;
/** Zeros that were laid ahead (A2 in segments.ts), and what was appended after them. */
const mostGarbageBytes = 2 * 1024 * 1024;
/** Checksums of segments as they stood at some moment. */
export type PreparedSums = readonly { readonly segment: number; readonly size: number; readonly sums?: Sums }[];

/** Reads bytes of a segment as they are there, wholly. Throws `journal-damaged` where it ends before, or EIO. */
export type ReadBytes = (segment: number, position: number, target: Buffer) => void;

export class SegmentVerification {
  readonly #sums: SegmentSums;
  readonly #tails = new SegmentTails();
  readonly #readBytes: ReadBytes;
  /** The segment that a process before appended to, and its size. */
  #found = { segment: 0, size: 0 };
  #isClosed = false;

  constructor(directory: string, readBytes: ReadBytes) {
    this.#sums = new SegmentSums(directory);
    this.#readBytes = readBytes;
  }

  /** At opening: the last segment, at whose end garbage may lie that no record points at. */
  noteFound(segment: number, size: number): void {
    this.#found = { segment, size };
  }

  noteAppended(segment: number, position: number, bytes: Buffer): void {
    const isKnown = !this.#tails.has(segment) && this.#sums.begin(segment).bytes === position;
    if (isKnown) this.#sums.add(segment, bytes);
    else this.#tails.note(segment * segmentBytes + position, bytes.length, crc32(bytes));
  }

  /** A write of a process before, as its record has it: it is verified by that, until it has checksums by blocks (D3). */
  noteWritten(address: number, length: number, checksum: number): void {
    const known = this.#sums.of(Math.floor(address / segmentBytes));
    if (known === undefined || address % segmentBytes >= known.bytes) this.#tails.note(address, length, checksum);
  }

  /**
   * Reads a range of a segment, verified by whole blocks (D2). Returns where damage begins, and then `target` holds nothing of
   * use; -1 where there is none.
   */
  read(segment: number, position: number, target: Buffer): number {
    const end = position + target.length;
    if (this.#tails.has(segment)) this.#catchUp(segment, end);
    const sums = this.#sums.of(segment);
    if (sums === undefined || end > sums.bytes) {
      this.#readBytes(segment, position, target);
      return -1;
    }
    const first = position - (position % blockBytes);
    const last = Math.min(Math.ceil(end / blockBytes) * blockBytes, sums.bytes);
    const isWhole = first === position && last === end;
    const blocks = isWhole ? target : Buffer.allocUnsafe(last - first);
    this.#readBytes(segment, first, blocks);
    const at = findDamage(sums, first, blocks);
    if (at < 0 && !isWhole) blocks.copy(target, 0, position - first, end - first);
    return at;
  }

  /**
   * Checksums by blocks of all that a process before wrote: what was not read yet is read now, a little a turn. Never
   * rejects.
   */
  async catchUp(): Promise<void> {
    for (const segment of this.#tails.segments())
      while (this.#tails.has(segment)) {
        await new Promise(setImmediate);
        if (this.#isClosed) return;
        try {
          this.#catchUp(segment, Number.POSITIVE_INFINITY, catchUpBytes);
        } catch {
          // Who reads it is told.
          this.#tails.forget(segment);
        }
      }
    this.#sumGarbage();
  }

  /** At the end of the last segment, so that its checksums are of all of it. */
  #sumGarbage(): void {
    const { segment, size } = this.#found;
    this.#found = { segment: 0, size: 0 };
    const known = this.#sums.of(segment)?.bytes ?? 0;
    if (known === 0 || size - known > mostGarbageBytes) return;
    try {
      this.#sum(segment, size);
    } catch {
      // It went, or cannot be read: who reads it is told.
    }
  }

  /** So far, or by so many bytes. */
  #catchUp(segment: number, end: number, mostBytes: number = Number.POSITIVE_INFINITY): void {
    const sums = this.#sums.begin(segment);
    const stop = Math.min(end, sums.bytes + mostBytes);
    while (sums.bytes < stop) {
      const part = this.#tails.next(segment, sums.bytes);
      if (part === undefined) return;
      // Nobody points at what lies between.
      this.#sum(segment, Math.min(part.position, sums.bytes + catchUpBytes));
      if (sums.bytes < part.position) continue;
      const bytes = Buffer.allocUnsafe(part.length);
      this.#readBytes(segment, part.position, bytes);
      this.#sums.add(segment, bytes);
      if (crc32(bytes) !== part.checksum) this.#sums.spoil(segment, part.position, part.position + part.length);
    }
  }

  /** Of what is there now, so far (D1). */
  #sum(segment: number, end: number): void {
    const { bytes: start } = this.#sums.begin(segment);
    if (start >= end) return;
    const bytes = Buffer.allocUnsafe(end - start);
    this.#readBytes(segment, start, bytes);
    this.#sums.add(segment, bytes);
  }

  /** Of segments with their sizes: what is to be kept of checksums once all that was appended until now is synced (D3). */
  prepare(sizes: readonly [segment: number, size: number][]): PreparedSums {
    const unkept = sizes.filter(([segment, size]) => size > 0 && !this.#sums.isKept(segment, size));
    return unkept.map(([segment, size]) => ({ segment, size, sums: this.#sums.copy(segment, size) }));
  }

  /** Writes them down, so that what is read after the next opening is verified too. `current` is appended to. */
  async keep(prepared: PreparedSums, current: number): Promise<void> {
    for (const { segment, size, sums } of prepared) {
      if (sums !== undefined) await this.#sums.keep(segment, sums);
      else if (segment < current) await this.#makeSums(segment, size);
    }
  }

  /** Of a full segment whose file of checksums was lost. */
  async #makeSums(segment: number, size: number): Promise<void> {
    for (let at = 0; at < size; at += catchUpBytes) {
      this.#sum(segment, Math.min(size, at + catchUpBytes));
      await new Promise(setImmediate);
    }
    await this.#sums.keep(segment, this.#sums.copy(segment, size)!);
  }

  /** Whether all of a segment's bytes are verified when they are read. */
  isWhole(segment: number, size: number): boolean {
    return this.#sums.of(segment)?.bytes === size;
  }

  forget(segment: number): void {
    this.#sums.forget(segment);
    this.#tails.forget(segment);
  }

  close(): void {
    this.#isClosed = true;
  }
}
