/** Thread: compresses the packs that it is sent, one after another. */
import { parentPort } from "node:worker_threads";
import { compressFrames } from "./compress-frames.ts";

export interface CompressionRequest {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly frameLengths: readonly number[];
}

export interface CompressionReply {
  readonly hash: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly frameLengths: readonly number[];
}

parentPort!.on("message", ({ bytes, frameLengths }: CompressionRequest) => {
  const raw = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const pack = compressFrames({ bytes: raw, frameLengths });
  // A copy of its own: what a small pack shares with Node's pool cannot be given away.
  const own = new Uint8Array(pack.bytes);
  parentPort!.postMessage({ hash: pack.hash, bytes: own, frameLengths: pack.frameLengths } satisfies CompressionReply, [
    own.buffer,
  ]);
});
