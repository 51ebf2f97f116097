/**
 * Packs chunks: groups small ones into frames so that they compress well, and frames into packs so that there are few
 * objects. The same chunks in the same order give the same packs, so that an interrupted publication sends none twice:
 * what ends a frame or a pack is how much it holds, never how well that compressed.
 */
import type { ChunkLocation, Frame } from "./layout.ts";

/** A frame is closed once it holds so much: a random read costs one frame, compression gains little beyond. */
const frameBytes = 128 * 1024;
/** A pack is closed once it holds so much; with its last frame, and none of it compressible, it is within `maxPackBytes`. */
const packBytes = 24 * 2 ** 20;
/** What the last chunk of a pack may bring beyond that. */
const spareBytes = 2 ** 20;

/** Frames that wait to be compressed, end to end. */
export interface RawPack {
  readonly bytes: Buffer<ArrayBuffer>;
  /** Bytes of each frame, in order. */
  readonly frameLengths: readonly number[];
  /** Says where the chunks of this pack lie, once it is compressed; `spare` is what `bytes` lay in, for the next one. */
  complete(pack: CompressedPack, spare?: ArrayBuffer): void;
}

export interface CompressedPack {
  /** BLAKE3 of the bytes, 64 hex digits. */
  readonly hash: string;
  readonly bytes: Buffer;
  /** Bytes of each compressed frame, in order. */
  readonly frameLengths: readonly number[];
}

type OpenFrame = { -readonly [Key in keyof Frame]: Frame[Key] };

export class PackWriter {
  readonly #locations = new Map<string, ChunkLocation>();
  /**
   * Where packs lay that are compressed. Made anew for each pack, buffers of this size have the whole heap searched for garbage
   * every two packs: a tenth of the processor time of a publication.
   */
  readonly #spares: ArrayBuffer[] = [];
  #bytes = Buffer.allocUnsafeSlow(0);
  #length = 0;
  #hasFilledOne = false;
  #frames: OpenFrame[] = [];

  /** Takes a chunk, copying it. Returns a pack when this one completed it. */
  add(hash: string, chunk: Buffer): RawPack | undefined {
    this.#makeRoom(chunk.length);
    let frame = this.#frames.at(-1);
    if (frame === undefined || frame.rawLength >= frameBytes) {
      frame = { pack: "", offset: 0, length: 0, rawLength: 0 };
      this.#frames.push(frame);
    }
    this.#locations.set(hash, { frame, offset: frame.rawLength, length: chunk.length });
    chunk.copy(this.#bytes, this.#length);
    this.#length += chunk.length;
    frame.rawLength += chunk.length;
    if (this.#length < packBytes) return undefined;
    this.#hasFilledOne = true;
    return this.#close();
  }

  /** The last pack, if anything is left to be packed. */
  finish(): RawPack | undefined {
    return this.#length > 0 ? this.#close() : undefined;
  }

  /** Where a chunk was packed; valid once its pack is complete. */
  location(hash: string): ChunkLocation | undefined {
    return this.#locations.get(hash);
  }

  /** Most publications are small: the first buffer grows to what is needed. */
  #makeRoom(length: number): void {
    const wanted = this.#length + length;
    if (wanted <= this.#bytes.length) return;
    const spare = this.#length === 0 ? this.#spares.pop() : undefined;
    const room = this.#hasFilledOne ? packBytes + spareBytes : Math.min(4 * wanted, packBytes + spareBytes);
    const grown = spare === undefined ? Buffer.allocUnsafeSlow(Math.max(wanted, room)) : Buffer.from(spare);
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }

  #close(): RawPack {
    const frames = this.#frames;
    const bytes = this.#bytes.subarray(0, this.#length);
    this.#frames = [];
    this.#bytes = Buffer.allocUnsafeSlow(0);
    this.#length = 0;
    return {
      bytes,
      frameLengths: frames.map(({ rawLength }) => rawLength),
      complete: ({ hash, frameLengths }, spare) => {
        if (spare !== undefined && spare.byteLength >= packBytes + spareBytes) this.#spares.push(spare);
        let offset = 0;
        for (const [index, frame] of frames.entries()) {
          frame.pack = hash;
          frame.offset = offset;
          frame.length = frameLengths[index];
          offset += frame.length;
        }
      },
    };
  }
}
