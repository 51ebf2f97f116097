/**
 * Compresses packs on all cores: threads that are started with the first large pack, and shared by all publications of
 * this process. Node's asynchronous zstd takes three times as long as its synchronous one in threads of ours.
 */
import { once } from "node:events";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import PQueue from "p-queue";
import { compressFrames } from "./compress-frames.ts";
import type { CompressionReply, CompressionRequest } from "./compress-worker.ts";
import type { CompressedPack, RawPack } from "./pack-writer.ts";

/** Below this, starting a thread takes longer. */
const threadBytes = 4 * 2 ** 20;

export const compressorThreads = availableParallelism();

const idle: Worker[] = [];
const queue = new PQueue({ concurrency: compressorThreads });

/** Takes the bytes of `pack` away. */
export async function compressPack(pack: RawPack): Promise<CompressedPack> {
  if (pack.bytes.length < threadBytes) {
    const compressed = compressFrames(pack);
    pack.complete(compressed, pack.bytes.buffer);
    return compressed;
  }
  const { raw, ...compressed } = (await queue.add(() => runInThread(pack))) as InThread;
  pack.complete(compressed, raw);
  return compressed;
}

interface InThread extends CompressedPack {
  readonly raw: ArrayBuffer;
}

async function runInThread({ bytes, frameLengths }: RawPack): Promise<InThread> {
  const worker = idle.pop() ?? new Worker(new URL("./compress-worker.ts", import.meta.url));
  worker.ref();
  const request: CompressionRequest = {
    bytes: new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length),
    frameLengths,
  };
  worker.postMessage(request, [bytes.buffer]);
  // Rejects when the thread fails: such a thread is not used again.
  const [reply] = (await once(worker, "message")) as [CompressionReply];
  // Kept for the next pack, it does not keep the process.
  worker.unref();
  idle.push(worker);
  return { ...reply, bytes: Buffer.from(reply.bytes.buffer, reply.bytes.byteOffset, reply.bytes.length) };
}
