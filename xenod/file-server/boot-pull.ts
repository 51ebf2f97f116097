/**
 * Pulls what a booting guest will read before it asks, and learns from its boot what the next one will.
 *
 * - (B1) The trace of the deployed tree says what is brought first, tree by tree; a template has one of its own, for
 *   overlays that nobody has booted yet. What the guest asks for goes first in any case.
 * - (B2) A boot has ended once init ran and nothing was read for the first time for a while. What it read becomes the trace
 *   where there was none, and is added to one that lacked a tenth of it.
 * - (B3) After the boot everything else is brought, where the operator set a rate for that: from then on the guest needs
 *   no store.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { SealedTree } from "../../cowfs/trees/open.ts";
import type { Recording } from "../../cowfs/trees/recorded-space.ts";
import type { OpenedTree } from "../../xenostore/pull/open-stored-tree.ts";
import { type BootTrace, mergeTraces } from "../../xenostore/traces/boot-trace.ts";
import type { TraceStore } from "../../xenostore/traces/trace-store.ts";

export interface BootPullOptions {
  readonly traces: Pick<TraceStore, "find" | "put">;
  /** Whether the guest is about to boot: an export that is opened again serves a guest that runs. */
  readonly isBoot: boolean;
  /** Caps what is brought after the boot; without it, nothing is. */
  pace?(bytes: number, signal: AbortSignal): Promise<void>;
  log(text: string): void;
  /** Default 120,000: how long nothing new was read once a boot has ended; systemd waits 90 s for a device. */
  readonly quietMs?: number;
}

/** Bytes of content that the guest's boot has read, each chunk once, and of those the ones that were here when it asked. */
export interface BootReads {
  readonly readBytes: number;
  readonly readyBytes: number;
  /** False while it boots. */
  readonly ended: boolean;
}

interface Layer {
  readonly opened: OpenedTree;
  readonly recording: Recording | undefined;
}

const defaultQuietMs = 120_000;
const lookEveryMs = 500;
/** A boot that reads on and on is over, too. */
const maxBootMs = 15 * 60_000;
/** A trace that the store does not take by then is lost to the others. */
const closeDeadlineMs = 3_000;
const retryPauseMs = 10_000;
/** A trace that lacked so much of what a boot read is mended. */
const mendShare = 0.1;

export class BootPull {
  readonly #options: BootPullOptions;
  readonly #closing = new AbortController();
  readonly #layers: Layer[] = [];
  readonly #ended = Promise.withResolvers<void>();
  #rootTrace: Promise<BootTrace | undefined> | undefined;
  #hasInit = false;
  #isOver: boolean;
  #work: Promise<unknown> = Promise.resolve();

  constructor(options: BootPullOptions) {
    this.#options = options;
    this.#isOver = !options.isBoot;
    if (options.isBoot) this.#add(this.#watch());
    else this.#ended.resolve();
  }

  /** Takes a layer of the export, the deployed tree first; returns the tree to serve it with. */
  add(opened: OpenedTree): SealedTree {
    this.#rootTrace ??= this.#options.traces.find(opened.tree.id);
    const recorded = this.#isOver ? undefined : opened.record();
    this.#layers.push({ opened, recording: recorded?.recording });
    this.#add(this.#pull(opened));
    return recorded?.tree ?? opened.tree;
  }

  noteInit(): void {
    this.#hasInit = true;
  }

  get reads(): BootReads {
    const sum = (of: (recording: Recording) => number) =>
      this.#layers.reduce((total, { recording }) => total + (recording ? of(recording) : 0), 0);
    return { readBytes: sum((r) => r.readBytes), readyBytes: sum((r) => r.readyBytes), ended: this.#isOver };
  }

  /** Ends all of it; a boot that had come to init leaves its trace. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.race([this.#work, delay(closeDeadlineMs, undefined, { ref: false })]);
  }

  #add(work: Promise<void>): void {
    const done = work.catch((error) => {
      if (!this.#closing.signal.aborted) this.#options.log(`boot: ${error}`);
    });
    this.#work = Promise.all([this.#work, done]);
  }

  /** (B1), then (B3). */
  async #pull(opened: OpenedTree): Promise<void> {
    const { id, chunkCount } = opened.tree;
    const { pace } = this.#options;
    const section = (await this.#rootTrace)?.get(id) ?? (await this.#options.traces.find(id))?.get(id) ?? [];
    const chunks = section.filter((chunk) => chunk < chunkCount);
    if (chunks.length > 0) await this.#bring(opened, { chunks });
    await this.#ended.promise;
    if (pace !== undefined) await this.#bring(opened, { pace });
  }

  /** A store that is away is asked again until it is back. */
  async #bring(
    opened: OpenedTree,
    what: { chunks?: readonly number[]; pace?: BootPullOptions["pace"] },
  ): Promise<void> {
    const { signal } = this.#closing;
    for (let told = false; !signal.aborted; told = true) {
      try {
        return await opened.bringAhead({ ...what, signal });
      } catch (error) {
        if (signal.aborted) return;
        if (!told) this.#options.log(`bringing more of tree ${opened.tree.id} waits: ${error}`);
      }
      await delay(retryPauseMs, undefined, { signal }).catch(() => {});
    }
  }

  /** (B2) */
  async #watch(): Promise<void> {
    const { signal } = this.#closing;
    const { quietMs = defaultQuietMs } = this.#options;
    const deadline = performance.now() + maxBootMs;
    while (!signal.aborted && performance.now() < deadline) {
      const lastNewAt = Math.max(...this.#layers.map(({ recording }) => recording?.lastNewAt ?? 0));
      if (this.#hasInit && performance.now() - lastNewAt > quietMs) break;
      await delay(lookEveryMs, undefined, { signal }).catch(() => {});
    }
    for (const { recording } of this.#layers) recording?.stop();
    this.#isOver = true;
    this.#ended.resolve();
    if (this.#hasInit) await this.#learn();
  }

  async #learn(): Promise<void> {
    const { traces } = this.#options;
    const read = new Map<string, readonly number[]>();
    for (const { opened, recording } of this.#layers) read.set(opened.tree.id, recording?.chunks ?? []);
    for (const [index, { opened }] of this.#layers.entries()) {
      const { id } = opened.tree;
      const now: BootTrace = index === 0 ? read : new Map([[id, read.get(id)!]]);
      const before = index === 0 ? await this.#rootTrace : await traces.find(id);
      // A template's own trace is of whatever was booted first: what others read of it is in theirs.
      if (before === undefined) await traces.put(id, now);
      else if (index === 0 && lacks(before, now)) await traces.put(id, mergeTraces(before, now));
    }
  }
}

/** Whether a trace lacked so much of what a boot read that it is worth mending. */
function lacks(trace: BootTrace, read: BootTrace): boolean {
  let total = 0;
  let missing = 0;
  for (const [id, chunks] of read) {
    const known = new Set(trace.get(id));
    total += chunks.length;
    missing += chunks.filter((chunk) => !known.has(chunk)).length;
  }
  return missing > total * mendShare;
}
