/**
 * Brings templates and overlays into the cache before anybody boots from them: of all that were named first what their
 * boot traces name, then everything.
 *
 * A request has an id that its client chose, and asking again is how it is followed: whoever asks a worker that was started
 * again meanwhile begins it anew there, which goes on where the last one was, since what is here is not brought again.
 */
import PQueue from "p-queue";
import { XenoError } from "../../cowfs/errors.ts";
import type { Layers } from "../../templates/layers/open-layers.ts";
import type { OpenedTree } from "../../xenostore/pull/open-stored-tree.ts";
import { Pace } from "../../xenostore/pull/pace.ts";
import { retryStore } from "../../xenostore/pull/retry.ts";
import { describeError } from "../http/json-server.ts";
import type { PrecacheItem, PrecacheRequest, PrecacheStatus } from "./protocol.ts";

/** Trees at a time. */
const concurrency = 2;
const maxRequests = 64;
const rememberedMs = 60_000;
/** For how long a store may be away before an item is given up; asking again with another id goes on. */
const patience = { patienceMs: 10 * 60_000, firstPauseMs: 1_000, maxPauseMs: 30_000 };

interface Running {
  readonly items: Mutable<PrecacheItem>[];
  readonly cancelled: AbortController;
  readonly done: Promise<void>;
  isOver: boolean;
  /** By `performance.now()`. */
  overAt: number;
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

export class Precaching {
  readonly #layers: Pick<Layers, "open" | "traces">;
  readonly #running = new Map<string, Running>();

  constructor(layers: Pick<Layers, "open" | "traces">) {
    this.#layers = layers;
  }

  /** Begins a request, or says how far it is. Throws `precaching-full`. */
  ask(id: string, request: PrecacheRequest): PrecacheStatus {
    let running = this.#running.get(id);
    if (running === undefined) {
      this.#forgetOver();
      if (this.#running.size >= maxRequests)
        throw new XenoError("precaching-full", `this file server precaches for ${maxRequests} requests already`, {
          hint: "wait for some of them to end",
        });
      running = this.#begin(request);
      this.#running.set(id, running);
    }
    return { items: running.items, isOver: running.isOver };
  }

  /** What is here stays. Missing is fine. */
  async cancel(id: string): Promise<void> {
    const running = this.#running.get(id);
    running?.cancelled.abort(new XenoError("interrupted", "the precaching was cancelled"));
    await running?.done;
    this.#running.delete(id);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((id) => this.cancel(id)));
  }

  #begin({ urls, traceOnly, bytesPerSecond }: PrecacheRequest): Running {
    const items = urls.map(
      (url): Mutable<PrecacheItem> => ({ url, phase: "waiting", doneBytes: 0, totalBytes: 0, broughtBytes: 0 }),
    );
    const cancelled = new AbortController();
    const pace = bytesPerSecond === undefined ? undefined : new Pace(bytesPerSecond).take;
    const done = this.#run(items, { traceOnly: traceOnly ?? false, pace, signal: cancelled.signal }).finally(() => {
      running.isOver = true;
      running.overAt = performance.now();
    });
    const running: Running = { items, cancelled, done, isOver: false, overAt: 0 };
    return running;
  }

  /** Those that are over are remembered for whoever still asks. */
  #forgetOver(): void {
    for (const [id, { isOver, overAt }] of this.#running)
      if (isOver && performance.now() - overAt > rememberedMs) this.#running.delete(id);
  }

  async #run(
    items: readonly Mutable<PrecacheItem>[],
    options: { traceOnly: boolean; pace: Pace["take"] | undefined; signal: AbortSignal },
  ): Promise<void> {
    const queue = new PQueue({ concurrency });
    const opened: OpenedTree[] = [];
    const attempt = (item: Mutable<PrecacheItem>, work: () => Promise<void>, priority: number) =>
      queue.add(
        () =>
          work().catch((error) => {
            item.phase = "failed";
            item.error = describeError(error);
          }),
        { priority },
      );
    try {
      for (const item of items) {
        void attempt(
          item,
          async () => {
            const tree = await this.#layers.open(item.url, undefined, options.signal);
            opened.push(tree);
            item.tree = tree.tree.id;
            const before = tree.residentBytes();
            const { id, chunkCount, chunks } = tree.tree;
            const traced = ((await this.#layers.traces.find(id))?.get(id) ?? []).filter((chunk) => chunk < chunkCount);
            await bring(item, tree, "trace", { ...options, chunks: traced });
            item.broughtBytes = tree.residentBytes() - before;
            item.totalBytes = chunks.bytes;
            item.doneBytes = tree.residentBytes();
            if (options.traceOnly) item.phase = "done";
            else
              void attempt(
                item,
                async () => {
                  await bring(item, tree, "all", options);
                  item.broughtBytes = tree.residentBytes() - before;
                  item.phase = "done";
                },
                0,
              );
          },
          1,
        );
      }
      await queue.onIdle();
    } finally {
      for (const tree of opened) await tree.close();
    }
  }
}

async function bring(
  item: Mutable<PrecacheItem>,
  tree: OpenedTree,
  phase: "trace" | "all",
  { chunks, pace, signal }: { chunks?: readonly number[]; pace: Pace["take"] | undefined; signal: AbortSignal },
): Promise<void> {
  item.phase = phase;
  const onProgress = (progress: { doneBytes: number; totalBytes: number }) => Object.assign(item, progress);
  await retryStore((given) => tree.bringAhead({ chunks, pace, onProgress, signal: given }), signal, patience);
}
