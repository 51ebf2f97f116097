/**
 * Collection: one step of mark, grace and sweep (see `condemned.ts` for what keeps it safe).
 *
 * A step marks what is needed and condemns the rest, or, once a grace has passed, looks again and deletes what is still
 * needed by nobody. So it is run again and again, by hand or by a timer, on any machine, and may be killed at any moment:
 * the next step goes on from the record. Only `trees/`, `layouts/`, `packs/`, `ids/` and `traces/` are ever deleted.
 *
 * It is assumed that no delete takes effect later than `takeoverMs` after it was decided: a sweeper that was stopped for
 * longer looks at the record again before it deletes more.
 */
import { randomUUID } from "node:crypto";
import PQueue from "p-queue";
import type { ObjectStore } from "../stores/object-store.ts";
import { type Condemned, collectionFormat, readCondemned, writeCondemned } from "./condemned.ts";
import { type Marked, markObjects } from "./mark.ts";
import { maxRequests } from "./reach.ts";

export const defaultGraceMs = 24 * 3_600_000;
const takeoverMs = 3_600_000;
const sweptPrefixes = ["packs", "layouts", "trees", "traces", "ids"];

export interface SweepOptions {
  /** Between condemning and deleting. */
  readonly graceMs?: number;
  /** Say what would be done. */
  readonly dryRun?: boolean;
  readonly now?: () => number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (text: string) => void;
}

export interface SweepOutcome {
  /**
   * `clean`: nothing is to be collected. `condemned`: from now on the grace runs. `waiting`: it runs. `deleted`.
   * `deleting`: another sweeper is at it.
   */
  readonly state: "clean" | "condemned" | "waiting" | "deleted" | "deleting";
  /** Objects that are condemned, or were deleted, and their bytes. */
  readonly objects: number;
  readonly bytes: number;
  /** Milliseconds since the epoch: when the next step may delete. */
  readonly until?: number;
  readonly keys: readonly string[];
  readonly needed?: Pick<Marked, "refs" | "pins" | "leases"> & { readonly objects: number };
}

/** Throws `collection-unsafe`, `collection-damaged`, or what the store throws; then nothing more was deleted. */
export async function sweepStore(store: ObjectStore, options: SweepOptions = {}): Promise<SweepOutcome> {
  for (;;) {
    const found = await readCondemned(store, options.signal);
    const outcome =
      found.record === undefined
        ? await condemn(store, found.bytes, options)
        : found.record.state === "condemned"
          ? await confirm(store, { record: found.record, bytes: found.bytes! }, options)
          : await takeOver(store, { record: found.record, bytes: found.bytes! }, options);
    // Undefined: the record moved under us; look again.
    if (outcome !== undefined) return outcome;
  }
}

interface Found {
  readonly record: Condemned;
  readonly bytes: Buffer;
}

type Step = Promise<SweepOutcome | undefined>;

async function condemn(store: ObjectStore, expected: Buffer | undefined, options: SweepOptions): Step {
  const { signal, onProgress, graceMs = defaultGraceMs } = options;
  onProgress?.("listing");
  // Listed before it is marked: what is stored and named while we look is not taken for garbage.
  const there = (await Promise.all(sweptPrefixes.map((prefix) => store.list(prefix, { signal })))).flat();
  onProgress?.("marking");
  const marked = await markObjects(store, { now: readClock(options), signal });
  if (options.dryRun !== true) for (const key of marked.expiredLeases) await store.delete(key, { signal });
  const garbage = there.filter((key) => !marked.objects.has(key));
  if (garbage.length === 0) return await describe(store, "clean", [], options, { marked });
  const since = readClock(options);
  if (options.dryRun !== true) {
    const record: Condemned = {
      format: collectionFormat,
      id: randomUUID(),
      state: "condemned",
      since,
      objects: garbage,
    };
    if (!(await writeCondemned(store, expected, record, signal))) return undefined;
  }
  return await describe(store, "condemned", garbage, options, { marked, until: since + graceMs });
}

async function confirm(store: ObjectStore, { record, bytes }: Found, options: SweepOptions): Step {
  const { signal, graceMs = defaultGraceMs } = options;
  const until = record.since + graceMs;
  if (readClock(options) < until) return await describe(store, "waiting", record.objects, options, { until });
  options.onProgress?.("marking again");
  const marked = await markObjects(store, { now: readClock(options), signal });
  const garbage = record.objects.filter((key) => !marked.objects.has(key));
  const outcome = await describe(store, "deleted", garbage, options, { marked });
  if (options.dryRun === true) return outcome;
  const deleting: Condemned = { ...record, state: "deleting", since: readClock(options), objects: garbage };
  if (!(await writeCondemned(store, bytes, deleting, signal))) return undefined;
  return (await deleteObjects(store, deleting, options)) ? outcome : undefined;
}

/** A sweeper that was killed while it deleted has decided already; what it decided is done. */
async function takeOver(store: ObjectStore, { record, bytes }: Found, options: SweepOptions): Step {
  const outcome = await describe(store, "deleted", record.objects, options, {});
  if (readClock(options) < record.since + takeoverMs) return { ...outcome, state: "deleting" };
  if (options.dryRun === true) return outcome;
  const taken: Condemned = { ...record, id: randomUUID(), since: readClock(options) };
  if (!(await writeCondemned(store, bytes, taken, options.signal))) return undefined;
  return (await deleteObjects(store, taken, options)) ? outcome : undefined;
}

/** False where it took so long that another may have taken over (see above). */
async function deleteObjects(store: ObjectStore, record: Condemned, options: SweepOptions): Promise<boolean> {
  const { signal, onProgress } = options;
  const queue = new PQueue({ concurrency: maxRequests });
  const end = performance.now() + takeoverMs / 2;
  let deleted = 0;
  await queue.addAll(
    record.objects.map((key) => async () => {
      if (performance.now() > end) return;
      await store.delete(key, { signal });
      deleted++;
      onProgress?.(`deleted ${deleted} of ${record.objects.length}`);
    }),
  );
  if (deleted < record.objects.length) return false;
  return await writeCondemned(store, Buffer.from(JSON.stringify(record)), undefined, signal);
}

async function describe(
  store: ObjectStore,
  state: SweepOutcome["state"],
  keys: readonly string[],
  { signal, onProgress }: SweepOptions,
  { marked, until }: { marked?: Marked; until?: number },
): Promise<SweepOutcome> {
  let bytes = 0;
  const queue = new PQueue({ concurrency: maxRequests });
  onProgress?.("measuring");
  await queue.addAll(
    keys.map((key) => async () => {
      // The sum is read after the wait: others add to it meanwhile.
      const found = await store.stat(key, { signal });
      bytes += found?.bytes ?? 0;
    }),
  );
  const needed = marked && {
    refs: marked.refs,
    pins: marked.pins,
    leases: marked.leases,
    objects: marked.objects.size,
  };
  return { state, objects: keys.length, bytes, until, keys, needed };
}

function readClock({ now }: SweepOptions): number {
  return now?.() ?? Date.now();
}
