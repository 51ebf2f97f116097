/** Memory images as files: hashed as they are written, verified as they are read. */
import { createReadStream } from "node:fs";
import { open, writeFile } from "node:fs/promises";
import { type Readable, Transform, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Blake3Hasher } from "@napi-rs/blake-hash";
import { XenoError } from "../../cowfs/errors.ts";
import type { CheckpointManifest } from "./manifest.ts";

export type MemoryDigest = CheckpointManifest["memory"];

const pieceBytes = 1024 * 1024;
/** No hypervisor can have taken an image in without its end: that is passed on when all of it is known to be right. */
const heldBackBytes = 1024 * 1024;

/** Writes what `write` gives; on stable storage when it settles. What `write` rejects with is passed on. */
export async function writeMemory(file: string, write: (to: Writable) => Promise<void>): Promise<MemoryDigest> {
  const handle = await open(file, "w", 0o600);
  const hasher = new Blake3Hasher();
  let bytes = 0;
  try {
    const hashing = new Transform({
      highWaterMark: pieceBytes,
      transform(piece: Buffer, _encoding, done) {
        hasher.update(piece);
        bytes += piece.length;
        done(null, piece);
      },
    });
    const storing = writeFile(handle, hashing);
    const [written, stored] = await Promise.allSettled([
      write(hashing).catch((error) => destroyWith(hashing, error)),
      storing,
    ]);
    // A disk that is full is why the writer failed.
    if (stored.status === "rejected") throw stored.reason;
    if (written.status === "rejected") throw written.reason;
    await handle.sync();
  } finally {
    await handle.close();
  }
  return { bytes, hash: hasher.digestBuffer().toString("hex") };
}

function destroyWith(stream: Transform, error: Error): never {
  stream.destroy(error);
  throw error;
}

/** The stream fails with `checkpoint-damaged` before its end where the file is not what was written. */
export function readMemory(file: string, expected: MemoryDigest): Readable {
  return verifyMemory(createReadStream(file, { highWaterMark: pieceBytes }), expected, file);
}

/** The same for any source. */
export function verifyMemory(source: Readable, { bytes, hash }: MemoryDigest, name: string): Readable {
  const hasher = new Blake3Hasher();
  const held: Buffer[] = [];
  let heldSize = 0;
  let seen = 0;
  const verifying = new Transform({
    highWaterMark: pieceBytes,
    transform(piece: Buffer, _encoding, done) {
      hasher.update(piece);
      seen += piece.length;
      held.push(piece);
      heldSize += piece.length;
      while (held.length > 1 && heldSize - held[0].length >= heldBackBytes) {
        heldSize -= held[0].length;
        this.push(held.shift());
      }
      done();
    },
    flush(done) {
      if (seen === bytes && hasher.digestBuffer().toString("hex") === hash) {
        for (const piece of held) this.push(piece);
        return done();
      }
      done(
        new XenoError("checkpoint-damaged", `the memory in ${name} is not what was saved`, {
          hint: "resume another checkpoint: xeno checkpoint ls",
        }),
      );
    },
  });
  pipeline(source, verifying).catch(() => {});
  return verifying;
}
