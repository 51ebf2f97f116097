/**
 * Checksums of segments, by blocks: what makes a flipped bit in a file's bytes be found before it is served.
 *
 * - (D1) A block's checksum is of the bytes as they were given to be written, not as the disk gives them back. Where the
 *   file of checksums is lost, it is of what was there when the segment was full.
 * - (D2) What is read is verified by whole blocks, where their checksums are known. A block that does not verify is never
 *   given out.
 * - (D3) A file of checksums speaks of bytes that were synced before: what a crash takes back of a segment, and others are
 *   written over, is none of them. The rest of the segment is known by the records of the log since that round: bytes that
 *   do not have the checksum of their record get one that no bytes have (segment-tails.ts).
 *
 *     file = "XENOSUMS", version u32, bytes of the segment u32, checksum of the rest u32, 0 u32, CRC-32 of each block u32
 *
 * Blocks have 16 KiB: a random read of 4 KiB costs some 6 µs more, and 100 GiB take 26 MB of memory. A file that does not
 * verify itself counts as none, and is made anew.
 */
import fs from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { crc32 } from "@node-rs/crc32";

export const blockBytes = 16 * 1024;
const magic = "XENOSUMS";
const version = 1;
const headerBytes = 24;
const firstBlocks = 16;

export interface Sums {
  /** How many bytes of the segment they are of. */
  bytes: number;
  blocks: Uint32Array;
}

export class SegmentSums {
  readonly #directory: string;
  /** Undefined for one that has no file. */
  readonly #known = new Map<number, Sums | undefined>();
  /** How many bytes of each segment the file on the disk is of. */
  readonly #kept = new Map<number, number>();

  constructor(directory: string) {
    this.#directory = path.join(directory, "sums");
  }

  /** Of a segment, as far as they are known. */
  of(segment: number): Sums | undefined {
    if (!this.#known.has(segment)) this.#known.set(segment, this.#load(segment));
    return this.#known.get(segment);
  }

  /** The same; of no bytes where none are known. */
  begin(segment: number): Sums {
    const known = this.of(segment) ?? { bytes: 0, blocks: new Uint32Array(firstBlocks) };
    this.#known.set(segment, known);
    return known;
  }

  /** Takes in what follows the bytes that are known. */
  add(segment: number, bytes: Buffer): void {
    const sums = this.begin(segment);
    for (let at = 0; at < bytes.length; ) {
      const block = Math.floor(sums.bytes / blockBytes);
      if (block === sums.blocks.length) sums.blocks = grow(sums.blocks);
      const part = bytes.subarray(at, at + (block + 1) * blockBytes - sums.bytes);
      sums.blocks[block] = crc32(part, sums.blocks[block]);
      sums.bytes += part.length;
      at += part.length;
    }
  }

  /** From here on no bytes of this range verify: they are not those of the record that points at them. */
  spoil(segment: number, start: number, end: number): void {
    const { blocks } = this.#known.get(segment)!;
    const last = Math.floor((end - 1) / blockBytes);
    for (let block = Math.floor(start / blockBytes); block <= last; block++) blocks[block] ^= 1;
  }

  /** Whether the checksums of so many bytes of a segment are on the disk. */
  isKept(segment: number, bytes: number): boolean {
    this.of(segment);
    return this.#kept.get(segment) === bytes;
  }

  /** A copy of what is known of the first so many bytes, or undefined where less is known. */
  copy(segment: number, bytes: number): Sums | undefined {
    const sums = this.of(segment);
    if (sums?.bytes !== bytes) return undefined;
    return { bytes, blocks: sums.blocks.slice(0, Math.ceil(bytes / blockBytes)) };
  }

  /**
   * Writes a copy down, off the event loop. Its bytes were synced before (D3). Losing the file costs no more than making it
   * anew, so it is not synced.
   */
  async keep(segment: number, { bytes, blocks }: Sums): Promise<void> {
    const body = Buffer.from(blocks.buffer, blocks.byteOffset, blocks.byteLength);
    const header = Buffer.alloc(headerBytes);
    header.write(magic, 0, "latin1");
    header.writeUInt32LE(version, 8);
    header.writeUInt32LE(bytes, 12);
    header.writeUInt32LE(crc32(body, bytes), 16);
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const made = `${this.pathOf(segment)}.new`;
    await writeFile(made, Buffer.concat([header, body]), { mode: 0o600 });
    fs.renameSync(made, this.pathOf(segment));
    this.#kept.set(segment, bytes);
  }

  forget(segment: number): void {
    this.#known.delete(segment);
    this.#kept.delete(segment);
    fs.rmSync(this.pathOf(segment), { force: true });
  }

  pathOf(segment: number): string {
    return sumsPath(path.dirname(this.#directory), segment);
  }

  #load(segment: number): Sums | undefined {
    const file = this.pathOf(segment);
    if (!fs.existsSync(file)) return undefined;
    const found = fs.readFileSync(file);
    if (found.length < headerBytes || found.toString("latin1", 0, 8) !== magic) return undefined;
    const bytes = found.readUInt32LE(12);
    const body = found.subarray(headerBytes);
    const isWhole = found.readUInt32LE(8) === version && body.length === 4 * Math.ceil(bytes / blockBytes);
    if (!isWhole || crc32(body, bytes) !== found.readUInt32LE(16)) return undefined;
    const blocks = new Uint32Array(body.length / 4);
    for (let block = 0; block < blocks.length; block++) blocks[block] = body.readUInt32LE(4 * block);
    this.#kept.set(segment, bytes);
    return { bytes, blocks };
  }
}

function grow(blocks: Uint32Array): Uint32Array {
  const grown = new Uint32Array(2 * Math.max(firstBlocks, blocks.length));
  grown.set(blocks);
  return grown;
}

export function sumsPath(directory: string, segment: number): string {
  return path.join(directory, "sums", String(segment).padStart(8, "0"));
}

/** Where whole blocks from `position` on are not what was written; -1 where they are. */
export function findDamage({ blocks }: Sums, position: number, bytes: Buffer): number {
  for (let at = 0; at < bytes.length; at += blockBytes)
    if (crc32(bytes.subarray(at, at + blockBytes)) !== blocks[(position + at) / blockBytes]) return position + at;
  return -1;
}
