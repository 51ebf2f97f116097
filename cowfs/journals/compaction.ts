/**
 * Compaction: what still counts of mostly dead segments is copied to the end of the current one, step by step.
 *
 * - (M1) A step runs in one turn: what it reads of the state holds until it has laid the copies. It lays exactly the
 *   ranges that pointed at the segments then, so that only addresses change, whatever was written between steps.
 * - (M2) A copy is an ordinary `lay` with the checksum of its data: a crash shows either place, and both hold the bytes,
 *   for the segment goes only after a checkpoint that does not point at it (G1 in checkpoints.ts).
 * - (M3) Nothing new ever points at a full segment: after one pass over the inodes it is empty.
 */
import { type Extent, findExtent, lowerAddress } from "./extents.ts";
import type { Journal } from "./journal.ts";
import { segmentBytes } from "./segment-use.ts";

/** Of one step: some 100 microseconds. */
const stepBytes = 256 * 1024;
const stepInodes = 1000;
const stepExtents = 500;
const bytesPerLay = 64;
const nothing = Buffer.alloc(0);

export class Compaction {
  readonly #journal: Journal;
  readonly #segments: ReadonlySet<number>;
  readonly #ids: Float64Array;
  /** Where the pass is: in an inode, at an offset in a region of the file (../offsets.ts). */
  #index = 0;
  #region = 0;
  #offset = 0;

  constructor(journal: Journal, segments: ReadonlySet<number>) {
    this.#journal = journal;
    this.#segments = segments;
    this.#ids = journal.state.inodes.ids();
  }

  /** Copies a little; returns whether nothing points at the segments any more. Throws what writing throws. */
  step(): boolean {
    const pieces: Piece[] = [];
    let bytes = 0;
    let extents = 0;
    for (let visited = 0; visited < stepInodes && bytes < stepBytes && extents < stepExtents; ) {
      if (this.#index === this.#ids.length) {
        this.#lay(pieces);
        return true;
      }
      const id = this.#ids[this.#index];
      const region = this.#region;
      const found = this.#journal.state.inodes.extentsOf(id, region);
      const extent = found[findExtent(found, this.#offset)];
      if (extent === undefined) {
        this.#goOn(id);
        visited++;
        continue;
      }
      extents++;
      const piece = cutPiece(extent, this.#offset, stepBytes - bytes);
      this.#offset = piece.offset + piece.length;
      if (piece.address === lowerAddress || !this.#segments.has(Math.floor(piece.address / segmentBytes))) continue;
      pieces.push({ id, extent: piece, region });
      bytes += piece.length;
    }
    this.#lay(pieces);
    return [...this.#segments].every((segment) => this.#journal.state.use.live(segment) === 0);
  }

  /** To the next region or inode. Regions that come while a pass is running are written to new segments. */
  #goOn(id: number): void {
    const next = this.#journal.state.inodes.nextRegion(id, this.#region);
    this.#offset = 0;
    this.#region = next ?? 0;
    if (next === undefined) this.#index++;
  }

  #lay(pieces: readonly Piece[]): void {
    if (pieces.length === 0) return;
    const journal = this.#journal;
    const copies = pieces.map(({ id, extent: { offset, length, address }, region }) => {
      const bytes = Buffer.allocUnsafe(length);
      journal.readData(address, length, bytes, 0);
      const copy = journal.appendData(bytes);
      return { id, extent: { offset, length, address: copy.address }, checksum: copy.checksum, region };
    });
    const lay = () => {
      for (const copy of copies) journal.apply({ kind: "lay", ...copy });
      return nothing;
    };
    journal.transact(undefined, lay, copies.length * bytesPerLay);
  }
}

interface Piece {
  readonly id: number;
  readonly extent: Extent;
  readonly region: number;
}

/** What of an extent lies from an offset on within one segment, and is not too long to copy at once. */
function cutPiece(extent: Extent, from: number, most: number): Extent {
  const offset = Math.max(extent.offset, from);
  const left = extent.offset + extent.length - offset;
  if (extent.address === lowerAddress) return { offset, length: left, address: lowerAddress };
  const address = extent.address + (offset - extent.offset);
  const toSegmentEnd = segmentBytes - (address % segmentBytes);
  return { offset, length: Math.min(left, most, toSegmentEnd), address };
}
