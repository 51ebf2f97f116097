/**
 * What was written to segments whose block checksums a process that died had not written down: known by the records of the
 * log, each with the checksum of its bytes (J1).
 *
 * By address, a segment at a time; what lies between two of them nobody points at.
 */
import { segmentBytes } from "./segment-use.ts";

export interface WrittenPart {
  readonly position: number;
  readonly length: number;
  readonly checksum: number;
}

export class SegmentTails {
  readonly #parts = new Map<number, { parts: WrittenPart[]; next: number; isSorted: boolean }>();

  /** A write within one segment. */
  note(address: number, length: number, checksum: number): void {
    // A hostile record may point at nothing: who catches up would never get past it.
    if (length === 0) return;
    const segment = Math.floor(address / segmentBytes);
    if (!this.#parts.has(segment)) this.#parts.set(segment, { parts: [], next: 0, isSorted: true });
    const tail = this.#parts.get(segment)!;
    const position = address % segmentBytes;
    if (tail.parts.length > 0 && position < tail.parts.at(-1)!.position) tail.isSorted = false;
    tail.parts.push({ position, length, checksum });
  }

  has(segment: number): boolean {
    return this.#parts.has(segment);
  }

  segments(): number[] {
    return [...this.#parts.keys()];
  }

  /** The first by address that begins at `from` or later; undefined after the last: then the segment has no tail any more. */
  next(segment: number, from: number): WrittenPart | undefined {
    const tail = this.#parts.get(segment);
    if (tail === undefined) return undefined;
    if (!tail.isSorted) {
      tail.parts = tail.parts.slice(tail.next).sort((a, b) => a.position - b.position);
      tail.next = 0;
      tail.isSorted = true;
    }
    for (; tail.next < tail.parts.length; tail.next++)
      if (tail.parts[tail.next].position >= from) return tail.parts[tail.next];
    this.#parts.delete(segment);
    return undefined;
  }

  forget(segment: number): void {
    this.#parts.delete(segment);
  }
}
