/**
 * Checksums of segments, by blocks: what makes a flipped bit in a file's bytes be found before it is served.
 *
 * - (D1) A block's checksum is of the bytes as they were given to be written, not as the disk gives them back, unless the
 *   segment was begun by a process that died: then it is of what was there when the segment was full.
 * - (D2) What is read is verified by whole blocks, where their checksums are known: always of full segments after the next
 *   round of checkpoints, and of those that this process began. A block that does not verify is never given out.
 *
 *     file = "XENOSUMS", version u32, bytes of the segment u32, checksum of the rest u32, 0 u32, CRC-32 of each block u32
 *
 * Blocks have 16 KiB: a random read of 4 KiB costs some 6 µs more, and 100 GiB take 26 MB of memory. A file that does not
 * verify itself counts as none, and is made anew.
 */
import fs from "node:fs";
import path from "node:path";
import { crc32 } from "@node-rs/crc32";
import { segmentBytes } from "./segment-use.ts";

export const blockBytes = 16 * 1024;
const magic = "XENOSUMS";
const version = 1;
const headerBytes = 24;

export interface Sums {
  /** How many bytes of the segment they are of. */
  bytes: number;
  readonly blocks: Uint32Array;
}

export class SegmentSums {
  readonly #directory: string;
  /** Undefined for one that has no file. */
  readonly #known = new Map<number, Sums | undefined>();
  readonly #kept = new Set<number>();

  constructor(directory: string) {
    this.#directory = path.join(directory, "sums");
  }

  /** Of a segment, as far as they are known. */
  of(segment: number): Sums | undefined {
    if (!this.#known.has(segment)) this.#known.set(segment, this.#load(segment));
    return this.#known.get(segment);
  }

  /** Takes in what was appended to a segment, if it has all that is before it. */
  add(segment: number, position: number, bytes: Buffer): void {
    if (position === 0)
      this.#known.set(segment, { bytes: 0, blocks: new Uint32Array(Math.ceil(segmentBytes / blockBytes)) });
    const sums = this.#known.get(segment);
    if (sums === undefined || sums.bytes !== position) return;
    for (let at = 0; at < bytes.length; ) {
      const block = Math.floor(sums.bytes / blockBytes);
      const part = bytes.subarray(at, at + (block + 1) * blockBytes - sums.bytes);
      sums.blocks[block] = crc32(part, sums.blocks[block]);
      sums.bytes += part.length;
      at += part.length;
    }
  }

  /** Whether a segment of so many bytes has all of its checksums on the disk. */
  isKept(segment: number, bytes: number): boolean {
    if (!this.#kept.has(segment) && this.of(segment)?.bytes === bytes && fs.existsSync(this.pathOf(segment)))
      this.#kept.add(segment);
    return this.#kept.has(segment);
  }

  /** Writes them down. Losing the file costs no more than making it anew, so it is not synced. */
  keep(segment: number): void {
    const { bytes, blocks } = this.of(segment)!;
    const used = blocks.subarray(0, Math.ceil(bytes / blockBytes));
    const body = Buffer.from(used.buffer, used.byteOffset, used.byteLength);
    const header = Buffer.alloc(headerBytes);
    header.write(magic, 0, "latin1");
    header.writeUInt32LE(version, 8);
    header.writeUInt32LE(bytes, 12);
    header.writeUInt32LE(crc32(body, bytes), 16);
    fs.mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    fs.writeFileSync(`${this.pathOf(segment)}.new`, Buffer.concat([header, body]), { mode: 0o600 });
    fs.renameSync(`${this.pathOf(segment)}.new`, this.pathOf(segment));
    this.#kept.add(segment);
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
    return { bytes, blocks };
  }
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
