/**
 * The one list of objects that a sweep is about to delete (`collection/condemned`), and how others get objects off it.
 *
 * The record moves by compare-and-set only: nothing → condemned → deleting → nothing. So of a publisher that still needs
 * an object and a sweeper that wants to delete it exactly one gets its way:
 *
 * (G1) An object is deleted only by who moved the record that names it to `deleting`, and that was at least a grace
 *      after it was condemned, and after looking again at every ref, pin and lease.
 * (G2) Who is going to rely on an object that is there already first says so durably (lease, pin), then reads this
 *      record: takes the object off it while it is condemned, or waits until a deletion is over and stores it anew.
 * (G3) A store whose lists lag is no danger while they lag less than the grace: who said so before the record was made
 *      is in the list by then; who said so later has read the record itself, and reading a key does not lag.
 */
import { setTimeout as delay } from "node:timers/promises";
import { Type } from "typebox";
import { Check } from "typebox/value";
import { XenoError } from "../../cowfs/errors.ts";
import { getIfPresent } from "../stores/get-if-present.ts";
import type { ObjectStore } from "../stores/object-store.ts";

export const condemnedKey = "collection/condemned";
export const collectionFormat = 1;
const maxRecordBytes = 64 * 2 ** 20;
/** So many times is nobody unlucky. */
const maxAttempts = 50;
const pollMs = 500;
/** A sweep that takes longer than this to delete what it condemned was interrupted; another one must take over. */
const deletionPatienceMs = 600_000;

export interface Condemned {
  readonly format: typeof collectionFormat;
  /** Of the sweep. */
  readonly id: string;
  readonly state: "condemned" | "deleting";
  /** Milliseconds since the epoch: when the record came to this state. */
  readonly since: number;
  readonly objects: readonly string[];
}

const Record = Type.Object({
  format: Type.Literal(collectionFormat),
  id: Type.String(),
  state: Type.Union([Type.Literal("condemned"), Type.Literal("deleting")]),
  since: Type.Integer(),
  objects: Type.Array(Type.String()),
});

/** The record, with its bytes, which a change of it must name. Throws `collection-damaged`. */
export async function readCondemned(
  store: ObjectStore,
  signal?: AbortSignal,
): Promise<{ readonly record?: Condemned; readonly bytes?: Buffer }> {
  const bytes = await getIfPresent(store, condemnedKey, { maximumBytes: maxRecordBytes, signal });
  if (bytes === undefined) return {};
  let record: unknown;
  try {
    record = JSON.parse(bytes.toString());
  } catch {}
  if (record === null) return { bytes };
  if (!Check(Record, record))
    throw new XenoError("collection-damaged", `${condemnedKey} in ${store.name} is no list of a sweep that we know`, {
      hint: "If no newer XenoServer software sweeps this store, delete that object.",
    });
  return { record, bytes };
}

/** `undefined` ends the sweep: the record is emptied, since no store deletes by compare-and-set. */
export async function writeCondemned(
  store: ObjectStore,
  expected: Buffer | undefined,
  record: Condemned | undefined,
  signal?: AbortSignal,
): Promise<boolean> {
  return await store.compareAndSet(condemnedKey, expected, Buffer.from(JSON.stringify(record ?? null)), { signal });
}

export interface RescueOptions {
  readonly signal?: AbortSignal;
  readonly pollMs?: number;
  readonly patienceMs?: number;
}

/**
 * Call after the need of `objects` was made durable (G2). When it settles no sweep will delete them; those that were
 * being deleted are gone. Throws `store-collecting` when a deletion does not end.
 */
export async function rescueObjects(
  store: ObjectStore,
  objects: ReadonlySet<string>,
  options: RescueOptions = {},
): Promise<void> {
  const { signal, patienceMs = deletionPatienceMs } = options;
  const end = performance.now() + patienceMs;
  for (let attempt = 0; attempt < maxAttempts; ) {
    const { record, bytes } = await readCondemned(store, signal);
    if (record === undefined || !record.objects.some((key) => objects.has(key))) return;
    if (record.state === "condemned") {
      attempt++;
      const left = record.objects.filter((key) => !objects.has(key));
      if (await writeCondemned(store, bytes, { ...record, objects: left }, signal)) return;
      continue;
    }
    if (performance.now() > end) break;
    await delay(options.pollMs ?? pollMs, undefined, { signal });
  }
  throw new XenoError("store-collecting", `a sweep of ${store.name} is deleting objects that this publication needs`, {
    hint: "Run it again; if it stays so, a sweep was killed: `xeno store gc` finishes it.",
  });
}
