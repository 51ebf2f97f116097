/**
 * Brings chunks of a tree from a store: finds their frames by the pack map, gets neighbouring frames in one range
 * request, decompresses, verifies.
 *
 * Nothing that the store or the pack map says is believed: sizes are bounded before anything is allocated, and a chunk
 * is what has the hash that the tree names. What is damaged is fetched once more, then reported by name; a store that
 * is away is asked again for a while (retry.ts).
 */
import { constants, zstdDecompressSync } from "node:zlib";
import { blake3 } from "@napi-rs/blake-hash";
import PQueue from "p-queue";
import { XenoError } from "../../cowfs/errors.ts";
import type { ChunkTable } from "../../cowfs/trees/address-space.ts";
import type { FetchChunks } from "../../cowfs/trees/resident.ts";
import { groupFrames } from "../packs/group-frames.ts";
import type { Layout } from "../packs/layout.ts";
import type { ObjectStore } from "../stores/object-store.ts";
import { defaultRetryPolicy, type RetryPolicy, retryStore } from "./retry.ts";

const maxDemands = 8;
const maxAhead = 4;
/** zlib takes no smaller ones. */
const minPieceBytes = 64;
/** zstd's window for frames of `maxFrameBytes`: what is larger would make the decoder allocate for nothing. */
const maxWindowLog = 22;

/** What the trees of a process share on their way to one store. */
export class FetchLane {
  /** Bytes as they came from the store: of chunks that somebody waited for, and of those that were brought ahead. */
  demandedBytes = 0;
  aheadBytes = 0;
  /** Of their own, so that what somebody waits for never waits for what nobody does. */
  readonly #demands = new PQueue({ concurrency: maxDemands });
  readonly #ahead = new PQueue({ concurrency: maxAhead });

  /** Runs a request when its turn comes. */
  async run(request: () => Promise<void>, ahead: boolean): Promise<void> {
    await (ahead ? this.#ahead : this.#demands).add(request);
  }

  count(bytes: number, ahead: boolean): void {
    if (ahead) this.aheadBytes += bytes;
    else this.demandedBytes += bytes;
  }
}

/** Throws `object-damaged` when the pack map does not place every chunk of the tree. */
export function createChunkFetcher(
  store: ObjectStore,
  chunks: ChunkTable,
  layout: Layout,
  lane: FetchLane = new FetchLane(),
  retries: RetryPolicy = defaultRetryPolicy,
): FetchChunks {
  const { frameOfChunk, chunksOfFrame } = placeChunks(chunks, layout);
  return async (wanted, { signal, ahead }) => {
    const fetched = new Map<number, Buffer | XenoError>();
    const runs = groupFrames(layout, new Set(wanted.map((chunk) => frameOfChunk[chunk])));
    await Promise.all(runs.map((run) => lane.run(() => fetchRun(run, fetched, signal, ahead), ahead)));
    return fetched;
  };

  async function fetchRun(
    run: number[],
    fetched: Map<number, Buffer | XenoError>,
    signal: AbortSignal,
    ahead: boolean,
  ): Promise<void> {
    let frames = run;
    for (let attempt = 0; frames.length > 0 && attempt < 2; attempt++) {
      const failed: number[] = [];
      const fail = (frame: number, error: XenoError) => {
        if (error.code === "object-damaged") failed.push(frame);
        for (const { chunk } of chunksOfFrame.get(frame)!) fetched.set(chunk, error);
      };
      await getFrames(frames, signal, ahead, fail, (frame, packed) => {
        const error = unpackFrame(frame, packed, fetched);
        if (error) fail(frame, error);
      });
      frames = failed;
    }
  }

  async function getFrames(
    frames: readonly number[],
    signal: AbortSignal,
    ahead: boolean,
    fail: (frame: number, error: XenoError) => void,
    take: (frame: number, packed: Buffer) => void,
  ): Promise<void> {
    const { pack, offset: start } = layout.frame(frames[0]);
    const last = layout.frame(frames.at(-1)!);
    try {
      const range = { start, length: last.offset + last.length - start };
      const get = (signal: AbortSignal) => store.get(`packs/${pack}`, { range, signal });
      const bytes = await retryStore(get, signal, ahead ? { ...retries, patienceMs: 0 } : retries);
      lane.count(bytes.length, ahead);
      for (const frame of frames) {
        const { offset, length } = layout.frame(frame);
        take(frame, bytes.subarray(offset - start, offset - start + length));
      }
    } catch (error) {
      if (!(error instanceof XenoError)) throw error;
      for (const frame of frames) fail(frame, error);
    }
  }

  /** Puts the chunks of a frame into `fetched`, all or, with the error that it returns, none. */
  function unpackFrame(frame: number, packed: Buffer, fetched: Map<number, Buffer | XenoError>): XenoError | undefined {
    const { pack, rawLength, offset } = layout.frame(frame);
    const damaged = (cause?: unknown) =>
      new XenoError("object-damaged", `object packs/${pack} in ${store.name} is damaged at ${offset}`, {
        cause,
        hint: "Publish the tree again to repair the store.",
      });
    let raw: Buffer;
    try {
      raw = zstdDecompressSync(packed, {
        maxOutputLength: rawLength,
        // In one piece: in zlib's of 16 KiB, and put together, it takes up to 1.6 times as long.
        chunkSize: Math.max(minPieceBytes, rawLength),
        params: { [constants.ZSTD_d_windowLogMax]: maxWindowLog },
      });
    } catch (error) {
      return damaged(error);
    }
    const placed = chunksOfFrame.get(frame)!;
    const parts = placed.map(({ chunk, offset }) => raw.subarray(offset, offset + chunks.length(chunk)));
    const isWhole = raw.length === rawLength && placed.every(({ chunk }, i) => chunks.hasHash(chunk, blake3(parts[i])));
    if (!isWhole) return damaged();
    placed.forEach(({ chunk }, i) => {
      fetched.set(chunk, parts[i]);
    });
  }
}

function placeChunks(chunks: ChunkTable, layout: Layout) {
  const frameOfChunk = new Uint32Array(chunks.count);
  const chunksOfFrame = new Map<number, { chunk: number; offset: number }[]>();
  for (let chunk = 0; chunk < chunks.count; chunk++) {
    const place = layout.find(chunks.hashBytes(chunk));
    if (place === -1 || layout.location(place).length !== chunks.length(chunk))
      throw new XenoError("object-damaged", `pack map ${layout.id} does not place chunk ${chunks.hash(chunk)}`, {
        hint: "The pack map belongs to another tree, or its publisher must publish again.",
      });
    const frame = layout.frameOf(place);
    frameOfChunk[chunk] = frame;
    const others = chunksOfFrame.get(frame);
    const placed = { chunk, offset: layout.location(place).offset };
    if (others) others.push(placed);
    else chunksOfFrame.set(frame, [placed]);
  }
  return { frameOfChunk, chunksOfFrame };
}
