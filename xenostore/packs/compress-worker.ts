/** Thread: compresses the packs that it is sent, one after another. */
import { parentPort } from "node:worker_threads";
import { compressFrames } from "./compress-frames.ts";

export interface CompressionRequest {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly frameLengths: readonly number[];
}

export interface CompressionReply {
  /** What the request's bytes lay in, given back. */
  readonly raw: ArrayBuffer;
  readonly hash: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly frameLengths: readonly number[];
}

parentPort!.on("message", ({ bytes, frameLengths }: CompressionRequest) => {
  const raw = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const pack = compressFrames({ bytes: raw, frameLengths });
  // A copy of its own: what a small pack shares with Node's pool cannot be given away.
  const own = new Uint8Array(pack.bytes);
  const { hash, frameLengths: lengths } = pack;
  const reply: CompressionReply = { hash, bytes: own, frameLengths: lengths, raw: bytes.buffer };
  parentPort!.postMessage(reply, [own.buffer, bytes.buffer]);
});
