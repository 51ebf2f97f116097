/**
 * Offsets and sizes of files: up to 2^63 - 1, as off_t has them.
 *
 * Nearly all are below 2^53, where a double is exact: those are numbers, and cost nothing. From 2^53 on they are
 * bigints. So each has one form, the two compare with `<` and `===`, and only sums need care.
 *
 * Extents keep numbers: a file beyond 2^53 is seen as regions of 2^52 bytes, each with extents of its own. The first two
 * are one, region 0: all that most files have.
 */
import { FileSystemError } from "./errors.ts";

export type Offset = number | bigint;

export const maxFileBytes: bigint = 2n ** 63n - 1n;
/** Where bigints begin. */
export const largeFrom: bigint = 2n ** 53n;
const regionBits = 52n;
const regionMask = 2n ** regionBits - 1n;
const regionZeroBytes = 2 ** 53;

/** The one form of an offset. Throws EINVAL for what is none, EFBIG for one beyond the largest file. */
export function toOffset(value: Offset): Offset {
  if (typeof value === "number") {
    if (value > Number.MAX_SAFE_INTEGER) throw new FileSystemError("EFBIG");
    if (!Number.isInteger(value) || value < 0) throw new FileSystemError("EINVAL");
    return value;
  }
  if (value < 0n) throw new FileSystemError("EINVAL");
  if (value > maxFileBytes) throw new FileSystemError("EFBIG");
  return value < largeFrom ? Number(value) : value;
}

/** A size as the fields of attributes say it. */
export function splitSize(size: Offset): { size: number; large: { size: bigint } | undefined } {
  if (typeof size === "number") return { size, large: undefined };
  return { size: Number.MAX_SAFE_INTEGER, large: { size } };
}

/** The end of a range. Throws EFBIG where no file reaches that far. */
export function addToOffset(offset: Offset, length: number): Offset {
  if (typeof offset === "number") {
    const sum = offset + length;
    if (sum <= Number.MAX_SAFE_INTEGER) return sum;
  }
  return toOffset(BigInt(offset) + BigInt(length));
}

/** An offset of the wire, which may be beyond every file. */
export function clampOffset(offset: Offset): Offset {
  if (offset <= maxFileBytes) return offset;
  return maxFileBytes;
}

/** How many bytes there are from an offset to the end of a file, but `most` at the most. */
export function countFrom(offset: Offset, size: Offset, most: number): number {
  if (typeof offset === "number" && typeof size === "number") return Math.max(0, Math.min(most, size - offset));
  const left = BigInt(size) - BigInt(offset);
  return left >= BigInt(most) ? most : Math.max(0, Number(left));
}

/** What of a range lies in one region. */
export interface RegionPart {
  readonly region: number;
  /** In the region. */
  readonly offset: number;
  readonly length: number;
  /** From the start of the range. */
  readonly at: number;
}

/** Cuts a range into regions, in order. */
export function* splitByRegion(start: Offset, length: number): Generator<RegionPart> {
  for (let at = 0; at < length; ) {
    const offset = BigInt(start) + BigInt(at);
    const region = offset < largeFrom ? 0 : Number(offset >> regionBits);
    const inRegion = Number(region === 0 ? offset : offset & regionMask);
    const room = (region === 0 ? regionZeroBytes : 2 ** Number(regionBits)) - inRegion;
    const part = Math.min(length - at, room);
    yield { region, offset: inRegion, length: part, at };
    at += part;
  }
}

/** What of a region lies before a size: its length where all does, 0 where nothing does. Not for region 0. */
export function clipRegion(region: number, size: bigint): number {
  const start = BigInt(region) << regionBits;
  if (size <= start) return 0;
  const left = size - start;
  return left > regionMask ? 2 ** Number(regionBits) : Number(left);
}

/** A size for what reaches to 2^53 - 1 only, as live layers do. Throws EFBIG beyond. */
export function requireSmall(size: Offset): number {
  if (typeof size === "bigint") throw new FileSystemError("EFBIG");
  return size;
}
