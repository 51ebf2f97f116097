/** Compresses the frames of a pack, each by itself, and names what comes out. */
import { constants, zstdCompressSync } from "node:zlib";
import { blake3 } from "@napi-rs/blake-hash";
import type { CompressedPack, RawPack } from "./pack-writer.ts";

/** Of Debian's files level 3 takes 1.7 times the processor of 2 and stores 1.7 % less; 1 takes 0.9 times and stores 4.4 % more. */
const compressionLevel = 2;

export function compressFrames({ bytes, frameLengths }: Pick<RawPack, "bytes" | "frameLengths">): CompressedPack {
  const frames: Buffer[] = [];
  let at = 0;
  for (const length of frameLengths) {
    const raw = bytes.subarray(at, at + length);
    frames.push(zstdCompressSync(raw, { params: { [constants.ZSTD_c_compressionLevel]: compressionLevel } }));
    at += length;
  }
  const packed = Buffer.concat(frames);
  return { hash: blake3(packed).toString("hex"), bytes: packed, frameLengths: frames.map(({ length }) => length) };
}
