/**
 * Packs chunks: groups small ones into frames so that they compress well, and frames into packs so that there are few
 * objects. The same chunks in the same order give the same packs, so that an interrupted publication sends none twice.
 */
import { constants, zstdCompressSync } from "node:zlib";
import { blake3 } from "@napi-rs/blake-hash";
import type { ChunkLocation, Frame } from "./layout.ts";

/** A frame is closed once it holds so much: a random read costs one frame, compression gains little beyond. */
const frameBytes = 128 * 1024;
/** A pack is closed once it is so long, compressed; with its last frame it stays below `maxPackBytes`. */
const packBytes = 16 * 2 ** 20;
const compressionLevel = 3;

export interface Pack {
  /** BLAKE3 of the bytes, 64 hex digits. */
  readonly hash: string;
  readonly bytes: Buffer;
}

/** A frame whose pack gets its name when it is complete. */
interface OpenFrame extends Frame {
  pack: string;
}

export class PackWriter {
  readonly #locations = new Map<string, ChunkLocation>();
  #raw: Buffer[] = [];
  #rawBytes = 0;
  #waiting: { hash: string; offset: number; length: number }[] = [];
  #frames: OpenFrame[] = [];
  #packed: Buffer[] = [];
  #packedBytes = 0;

  /** Takes a chunk, copying it. Returns a pack when this one completed it. */
  add(hash: string, bytes: Buffer): Pack | undefined {
    this.#waiting.push({ hash, offset: this.#rawBytes, length: bytes.length });
    this.#raw.push(Buffer.from(bytes));
    this.#rawBytes += bytes.length;
    if (this.#rawBytes >= frameBytes) this.#closeFrame();
    return this.#packedBytes >= packBytes ? this.#closePack() : undefined;
  }

  /** The last pack, if anything is left to be packed. */
  finish(): Pack | undefined {
    if (this.#rawBytes > 0) this.#closeFrame();
    return this.#packedBytes > 0 ? this.#closePack() : undefined;
  }

  /** Where a chunk was packed; valid once its pack is complete. */
  location(hash: string): ChunkLocation | undefined {
    return this.#locations.get(hash);
  }

  #closeFrame(): void {
    const raw = this.#raw.length === 1 ? this.#raw[0] : Buffer.concat(this.#raw, this.#rawBytes);
    const packed = zstdCompressSync(raw, { params: { [constants.ZSTD_c_compressionLevel]: compressionLevel } });
    const frame = { pack: "", offset: this.#packedBytes, length: packed.length, rawLength: raw.length };
    for (const { hash, offset, length } of this.#waiting) this.#locations.set(hash, { frame, offset, length });
    this.#frames.push(frame);
    this.#packed.push(packed);
    this.#packedBytes += packed.length;
    this.#raw = [];
    this.#rawBytes = 0;
    this.#waiting = [];
  }

  #closePack(): Pack {
    const bytes = Buffer.concat(this.#packed, this.#packedBytes);
    const hash = blake3(bytes).toString("hex");
    for (const frame of this.#frames) frame.pack = hash;
    this.#frames = [];
    this.#packed = [];
    this.#packedBytes = 0;
    return { hash, bytes };
  }
}
