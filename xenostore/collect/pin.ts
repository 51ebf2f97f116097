/**
 * Pins: the trees that somebody needs though no ref may name them any more (`pins/<holder>`): the domains and checkpoints
 * of a XenoServer, one object for each server.
 *
 * A pin does not expire: a server that is off for a month still has its domains. Its holder rewrites it when its needs
 * change, and deletes it when it needs nothing; of a machine that is gone for good, an operator does
 * (`xeno store unpin`).
 */
import { Type } from "typebox";
import { Check } from "typebox/value";
import { getIfPresent } from "../stores/get-if-present.ts";
import type { ObjectStore, RequestOptions } from "../stores/object-store.ts";
import { rescueObjects } from "./condemned.ts";
import { collectReach } from "./reach.ts";

export const pinFormat = 1;
const maxPinBytes = 16 * 2 ** 20;

export interface Pin {
  readonly format: typeof pinFormat;
  readonly host: string;
  /** Milliseconds since the epoch: when it was written. */
  readonly written: number;
  /** Ids of trees; what they lie over is kept with them. */
  readonly trees: readonly string[];
}

const Record = Type.Object({
  format: Type.Literal(pinFormat),
  host: Type.String(),
  written: Type.Integer(),
  trees: Type.Array(Type.String({ pattern: "^[0-9a-f]{64}$" })),
});

export function pinKey(holder: string): string {
  return `pins/${holder}`;
}

/** Undefined where the bytes are none that we know. */
export function parsePin(bytes: Buffer): Pin | undefined {
  try {
    const record: unknown = JSON.parse(bytes.toString());
    return Check(Record, record) ? record : undefined;
  } catch {
    return undefined;
  }
}

/** Undefined where the holder has none, or one that we do not know. */
export async function readPin(store: ObjectStore, key: string, options: RequestOptions = {}): Promise<Pin | undefined> {
  const bytes = await getIfPresent(store, key, { ...options, maximumBytes: maxPinBytes });
  return bytes && parsePin(bytes);
}

/**
 * From when it settles until the holder says otherwise, no sweep deletes what these trees need. Throws what the store
 * throws; on a read-only store the holder relies on refs alone.
 */
export async function writePin(
  store: ObjectStore,
  holder: string,
  pin: Omit<Pin, "format">,
  options: RequestOptions = {},
): Promise<void> {
  if (pin.trees.length === 0) return await store.delete(pinKey(holder), options);
  const record: Pin = { format: pinFormat, ...pin };
  await store.replace(pinKey(holder), Buffer.from(JSON.stringify(record)), options);
  // The trees first: what of them is just being deleted would be seen by halves.
  await rescueObjects(store, new Set(pin.trees.map((tree) => `trees/${tree}`)), options);
  await rescueObjects(store, await collectReach(store, pin.trees, options), options);
}
