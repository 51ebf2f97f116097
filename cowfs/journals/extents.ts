/**
 * Where a file's bytes lie: extents in order of their file offset, never overlapping; gaps are holes.
 *
 * An extent of a layer below needs no address of its own: a file is copied up without moving its bytes, so that they lie
 * below at the same file offset. That is why the first write to a 1 GiB template file costs one extent.
 */
export interface Extent {
  offset: number;
  length: number;
  /** In the journal's segments, or `lowerAddress`. */
  address: number;
}

export const lowerAddress = -1;

/** The index of the first extent that ends after `offset`; `extents.length` when there is none. */
export function findExtent(extents: readonly Extent[], offset: number): number {
  let low = 0;
  let high = extents.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const extent = extents[middle];
    if (extent.offset + extent.length > offset) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Lays `piece` over whatever the range held. A piece that continues its left neighbour is merged with it. */
export function layExtent(extents: Extent[], piece: Extent): void {
  const last = extents.at(-1);
  if (last === undefined || last.offset + last.length <= piece.offset) {
    if (last !== undefined && continues(last, piece)) last.length += piece.length;
    else extents.push({ ...piece });
    return;
  }
  const index = clearRange(extents, piece.offset, piece.offset + piece.length);
  const left = extents[index - 1];
  if (left !== undefined && continues(left, piece)) left.length += piece.length;
  else extents.splice(index, 0, { ...piece });
}

/** Makes the range a hole; returns the index at which an extent for it belongs. */
export function clearRange(extents: Extent[], start: number, end: number): number {
  const first = findExtent(extents, start);
  const kept: Extent[] = [];
  let index = first;
  let before = 0;
  for (; index < extents.length && extents[index].offset < end; index++) {
    const extent = extents[index];
    if (extent.offset < start) {
      kept.push({ ...extent, length: start - extent.offset });
      before = 1;
    }
    const extentEnd = extent.offset + extent.length;
    if (extentEnd > end) {
      const skipped = end - extent.offset;
      const address = extent.address === lowerAddress ? lowerAddress : extent.address + skipped;
      kept.push({ offset: end, length: extentEnd - end, address });
    }
  }
  extents.splice(first, index - first, ...kept);
  return first + before;
}

/** How many bytes of a range are not holes. */
export function countBytes(extents: readonly Extent[], start: number, end: number): number {
  let bytes = 0;
  for (let index = findExtent(extents, start); index < extents.length && extents[index].offset < end; index++) {
    const { offset, length } = extents[index];
    bytes += Math.min(offset + length, end) - Math.max(offset, start);
  }
  return bytes;
}

/** How many bytes of a range lie in the journal's segments. */
export function countOwnBytes(extents: readonly Extent[], start: number, end: number): number {
  let bytes = 0;
  for (let index = findExtent(extents, start); index < extents.length && extents[index].offset < end; index++) {
    const { offset, length, address } = extents[index];
    if (address !== lowerAddress) bytes += Math.min(offset + length, end) - Math.max(offset, start);
  }
  return bytes;
}

function continues(left: Extent, right: Extent): boolean {
  if (left.offset + left.length !== right.offset) return false;
  if (left.address === lowerAddress || right.address === lowerAddress) return left.address === right.address;
  return left.address + left.length === right.address;
}
