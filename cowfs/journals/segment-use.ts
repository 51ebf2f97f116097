/**
 * How many bytes of each segment some extent of the state points at.
 *
 * An address is `segment * segmentBytes + position`. Extents never share bytes, so what is counted once per extent is
 * exact; an extent that was merged from neighbours may span segments.
 */
import { type Extent, findExtent, lowerAddress } from "./extents.ts";

export const segmentBytes = 64 * 1024 * 1024;

export class SegmentUse {
  readonly #live = new Map<number, number>();
  total = 0;

  live(segment: number): number {
    return this.#live.get(segment) ?? 0;
  }

  add({ address, length }: Extent): void {
    this.#change(address, length, 1);
  }

  /** Takes out what of the extents lies in a range of the file: it is about to be laid over or cut off. */
  removeRange(extents: readonly Extent[], start: number, end: number): void {
    for (let index = findExtent(extents, start); index < extents.length && extents[index].offset < end; index++) {
      const { offset, length, address } = extents[index];
      const from = Math.max(offset, start);
      const to = Math.min(offset + length, end);
      if (address !== lowerAddress) this.#change(address + from - offset, to - from, -1);
    }
  }

  #change(address: number, length: number, sign: 1 | -1): void {
    if (address === lowerAddress) return;
    this.total += sign * length;
    for (let at = address; at < address + length; ) {
      const segment = Math.floor(at / segmentBytes);
      const end = Math.min(address + length, (segment + 1) * segmentBytes);
      const live = this.live(segment) + sign * (end - at);
      if (live === 0) this.#live.delete(segment);
      else this.#live.set(segment, live);
      at = end;
    }
  }
}
