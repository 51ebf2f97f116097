/**
 * How many bytes of each segment some extent of the state points at, and which segments pins keep.
 *
 * An address is `segment * segmentBytes + position`. Extents never share bytes, so what is counted once per extent is
 * exact; an extent that was merged from neighbours may span segments.
 */
import { type Extent, findExtent, lowerAddress } from "./extents.ts";
import type { PinnedSegment } from "./pins.ts";

export const segmentBytes = 64 * 1024 * 1024;

export class SegmentUse {
  readonly #live = new Map<number, number>();
  readonly #pins = new Map<number, number>();
  total = 0;
  /** Of segments that no pin keeps. */
  unpinnedTotal = 0;
  /** The sizes of the segments that pins keep. */
  pinnedBytes = 0;

  live(segment: number): number {
    return this.#live.get(segment) ?? 0;
  }

  /** The segments that the state points at. */
  liveSegments(): number[] {
    return [...this.#live.keys()];
  }

  /** How many pins keep a segment. */
  pins(segment: number): number {
    return this.#pins.get(segment) ?? 0;
  }

  pin(segments: readonly PinnedSegment[]): void {
    for (const { segment, bytes } of segments) {
      const pins = this.pins(segment);
      this.#pins.set(segment, pins + 1);
      if (pins > 0) continue;
      this.pinnedBytes += bytes;
      this.unpinnedTotal -= this.live(segment);
    }
  }

  unpin(segments: readonly PinnedSegment[]): void {
    for (const { segment, bytes } of segments) {
      const pins = this.pins(segment);
      if (pins > 1) {
        this.#pins.set(segment, pins - 1);
        continue;
      }
      this.#pins.delete(segment);
      this.pinnedBytes -= bytes;
      this.unpinnedTotal += this.live(segment);
    }
  }

  add({ address, length }: Extent): void {
    this.#change(address, length, 1);
  }

  /** The same for many. */
  addAll(addresses: Float64Array, lengths: Float64Array): void {
    const bytes = new Map<number, number>();
    for (let index = 0; index < addresses.length; index++) {
      const [address, length] = [addresses[index], lengths[index]];
      const segment = Math.floor(address / segmentBytes);
      if (address + length > (segment + 1) * segmentBytes) this.#change(address, length, 1);
      else if (address !== lowerAddress) bytes.set(segment, (bytes.get(segment) ?? 0) + length);
    }
    for (const [segment, length] of bytes) this.#change(segment * segmentBytes, length, 1);
  }

  /** Takes out what of the extents lies in a range of the file: it is about to be laid over or cut off. */
  removeRange(extents: readonly Extent[], start: number, end: number): void {
    for (let index = findExtent(extents, start); index < extents.length && extents[index].offset < end; index++) {
      const { offset, length, address } = extents[index];
      const from = Math.max(offset, start);
      const to = Math.min(offset + length, end);
      if (address !== lowerAddress) this.#change(address + (from - offset), to - from, -1);
    }
  }

  #change(address: number, length: number, sign: 1 | -1): void {
    if (address === lowerAddress) return;
    this.total += sign * length;
    for (let at = address; at < address + length; ) {
      const segment = Math.floor(at / segmentBytes);
      const end = Math.min(address + length, (segment + 1) * segmentBytes);
      const live = this.live(segment) + sign * (end - at);
      if (!this.#pins.has(segment)) this.unpinnedTotal += sign * (end - at);
      if (live === 0) this.#live.delete(segment);
      else this.#live.set(segment, live);
      at = end;
    }
  }
}
