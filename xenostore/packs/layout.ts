/**
 * The pack map of a tree: where each of its chunks lies. A separate object outside the tree's hash, so that packs can
 * be rewritten without a new tree. Named by the BLAKE3 of its bytes.
 *
 * A pack is a row of zstd frames; a frame holds one or more chunks. The bytes: "XENOPMAP", version u32, the number of
 * packs, frames and chunks u32, zeros up to 32; then flat arrays: pack hashes (32 bytes each); per frame its pack,
 * offset in the pack, length in the pack, length when decompressed; per chunk, in ascending order of the hashes, its
 * frame, offset in the decompressed frame, length; then the chunks' hashes. Little-endian u32.
 *
 * It is as hostile as the store: `openLayout` checks all that its reader relies on. What it cannot check, whether the
 * bytes are really there, the chunks' hashes tell.
 */
import { blake3 } from "@napi-rs/blake-hash";
import { XenoError } from "../../cowfs/errors.ts";
import { limits } from "../../cowfs/trees/format.ts";

export const layoutVersion = 1;
/** Bounds what a hostile layout can make its reader fetch and decompress at once. */
export const maxFrameBytes = 2 * limits.chunkBytes;
export const maxPackBytes = 32 * 2 ** 20;
export const maxLayoutBytes = 2 ** 30;

const magic = "XENOPMAP";
const headerBytes = 32;

export interface Frame {
  /** BLAKE3 of the pack, 64 hex digits. */
  readonly pack: string;
  readonly offset: number;
  readonly length: number;
  readonly rawLength: number;
}

/** Where a chunk lies: in a frame, once that is decompressed. */
export interface ChunkLocation {
  readonly frame: Frame;
  readonly offset: number;
  readonly length: number;
}

export class Layout {
  readonly id: string;
  readonly chunkCount: number;
  readonly frameCount: number;
  readonly #packs: Buffer;
  readonly #frames: Uint32Array;
  readonly #chunks: Uint32Array;
  readonly #hashes: Buffer;
  /** The first 4 bytes of each hash, for the search. */
  readonly #prefixes: Uint32Array;
  readonly #opened: (Frame | undefined)[] = [];

  constructor(id: string, packs: Buffer, frames: Uint32Array, chunks: Uint32Array, hashes: Buffer) {
    this.id = id;
    this.chunkCount = hashes.length / 32;
    this.frameCount = frames.length / 4;
    this.#packs = packs;
    this.#frames = frames;
    this.#chunks = chunks;
    this.#hashes = hashes;
    this.#prefixes = new Uint32Array(this.chunkCount);
    for (let chunk = 0; chunk < this.chunkCount; chunk++) this.#prefixes[chunk] = hashes.readUInt32BE(32 * chunk);
  }

  /** The place of a chunk in this layout, -1 where it has none. */
  find(hash: Buffer): number {
    const prefix = hash.readUInt32BE(0);
    let low = 0;
    let high = this.chunkCount;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#prefixes[middle] < prefix) low = middle + 1;
      else high = middle;
    }
    for (; this.#prefixes[low] === prefix; low++)
      if (this.#hashes.compare(hash, 0, 32, 32 * low, 32 * low + 32) === 0) return low;
    return -1;
  }

  frameOf(chunk: number): number {
    return this.#chunks[3 * chunk];
  }

  frame(frame: number): Frame {
    const known = this.#opened[frame];
    if (known) return known;
    const [pack, offset, length, rawLength] = this.#frames.subarray(4 * frame, 4 * frame + 4);
    const opened = { pack: this.#packs.toString("hex", 32 * pack, 32 * pack + 32), offset, length, rawLength };
    this.#opened[frame] = opened;
    return opened;
  }

  location(chunk: number): ChunkLocation {
    return {
      frame: this.frame(this.frameOf(chunk)),
      offset: this.#chunks[3 * chunk + 1],
      length: this.#chunks[3 * chunk + 2],
    };
  }

  /** The names of the packs it points into. */
  packs(): string[] {
    return Array.from({ length: this.#packs.length / 32 }, (_, i) => this.#packs.toString("hex", 32 * i, 32 * i + 32));
  }
}

/** The same chunks in the same places give the same bytes, whatever the order of the map. */
export function encodeLayout(chunks: ReadonlyMap<string, ChunkLocation>): { id: string; bytes: Buffer } {
  const frames = [...new Set([...chunks.values()].map(({ frame }) => frame))].sort(compareFrames);
  const packs = [...new Set(frames.map(({ pack }) => pack))];
  const packNumbers = new Map(packs.map((pack, number) => [pack, number]));
  // Equal frames may come as different objects, from several ancestors.
  const frameNumbers = new Map<Frame, number>();
  const unique: Frame[] = [];
  for (const frame of frames) {
    if (unique.length === 0 || compareFrames(unique.at(-1)!, frame) !== 0) unique.push(frame);
    frameNumbers.set(frame, unique.length - 1);
  }
  const bytes = Buffer.alloc(headerBytes + 32 * packs.length + 16 * unique.length + 44 * chunks.size);
  bytes.write(magic, "latin1");
  [layoutVersion, packs.length, unique.length, chunks.size].forEach((value, i) => {
    bytes.writeUInt32LE(value, 8 + 4 * i);
  });
  let at = headerBytes;
  const writeWord = (value: number) => {
    at = bytes.writeUInt32LE(value, at);
  };
  for (const pack of packs) at += bytes.write(pack, at, "hex");
  for (const { pack, offset, length, rawLength } of unique)
    for (const value of [packNumbers.get(pack)!, offset, length, rawLength]) writeWord(value);
  const sorted = [...chunks].sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [, { frame, offset, length }] of sorted)
    for (const value of [frameNumbers.get(frame)!, offset, length]) writeWord(value);
  for (const [hash] of sorted) at += bytes.write(hash, at, "hex");
  return { id: blake3(bytes).toString("hex"), bytes };
}

/** Throws `object-damaged` or `layout-too-new`. */
export function openLayout(bytes: Buffer, expectedId: string): Layout {
  const refuse = (reason: string): never => {
    throw new XenoError("object-damaged", `pack map ${expectedId} is damaged: ${reason}`, {
      hint: "Fetch it again; if it stays damaged, its publisher must publish it again.",
    });
  };
  if (blake3(bytes).toString("hex") !== expectedId) refuse("it does not have the hash that names it");
  if (bytes.length < headerBytes || bytes.toString("latin1", 0, 8) !== magic) refuse("this is no pack map");
  const [version, packCount, frameCount, chunkCount] = [8, 12, 16, 20].map((at) => bytes.readUInt32LE(at));
  if (version > layoutVersion)
    throw new XenoError(
      "layout-too-new",
      `pack map ${expectedId} has format ${version}; this reader knows ${layoutVersion}`,
      {
        hint: "Upgrade this machine's XenoServer software.",
      },
    );
  if (bytes.length !== headerBytes + 32 * packCount + 16 * frameCount + 44 * chunkCount) refuse("its length");
  const own = bytes.byteOffset % 4 === 0 ? bytes : Buffer.from(new Uint8Array(bytes).buffer);
  const framesAt = headerBytes + 32 * packCount;
  const chunksAt = framesAt + 16 * frameCount;
  const hashesAt = chunksAt + 12 * chunkCount;
  const frames = new Uint32Array(own.buffer, own.byteOffset + framesAt, 4 * frameCount);
  const chunks = new Uint32Array(own.buffer, own.byteOffset + chunksAt, 3 * chunkCount);
  const hashes = own.subarray(hashesAt);
  for (let i = 0; i < frames.length; i += 4) {
    if (frames[i] >= packCount) refuse(`the pack of frame ${i / 4}`);
    if (frames[i + 2] === 0 || frames[i + 1] + frames[i + 2] > maxPackBytes) refuse(`the place of frame ${i / 4}`);
    if (frames[i + 3] > maxFrameBytes || frames[i + 2] > maxFrameBytes) refuse(`the length of frame ${i / 4}`);
  }
  for (let chunk = 0; chunk < chunkCount; chunk++) {
    const frame = chunks[3 * chunk];
    const end = chunks[3 * chunk + 1] + chunks[3 * chunk + 2];
    if (frame >= frameCount || end > frames[4 * frame + 3]) refuse(`the place of chunk ${chunk}`);
    if (chunk > 0 && hashes.compare(hashes, 32 * chunk - 32, 32 * chunk, 32 * chunk, 32 * chunk + 32) <= 0)
      refuse("its chunks are out of order");
  }
  return new Layout(expectedId, own.subarray(headerBytes, framesAt), frames, chunks, hashes);
}

function compareFrames(a: Frame, b: Frame): number {
  return a.pack === b.pack ? a.offset - b.offset : a.pack < b.pack ? -1 : 1;
}
