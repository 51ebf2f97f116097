/**
 * Counts requests and payload bytes between parties: who asked whom for how much (table 2 of the deployment paper).
 */
import type { GetOptions, ObjectStore } from "./object-store.ts";

export interface Traffic {
  /** Who made the requests. */
  readonly from: string;
  readonly to: string;
  readonly requests: number;
  /** Payload in both directions. */
  readonly bytes: number;
}

export class TrafficMeter {
  readonly #rows = new Map<string, { from: string; to: string; requests: number; bytes: number }>();

  record(from: string, to: string, bytes: number): void {
    const key = JSON.stringify([from, to]);
    const row = this.#rows.get(key) ?? { from, to, requests: 0, bytes: 0 };
    row.requests++;
    row.bytes += bytes;
    this.#rows.set(key, row);
  }

  rows(): Traffic[] {
    return [...this.#rows.values()].map((row) => ({ ...row }));
  }
}

/** The same store; what `from` asks it for is recorded as traffic to `to`. Failed requests count, without bytes. */
export function meterStore(store: ObjectStore, meter: TrafficMeter, from: string, to: string): ObjectStore {
  const count = async <T>(request: Promise<T>, measure: (result: T) => number): Promise<T> => {
    let bytes = 0;
    try {
      const result = await request;
      bytes = measure(result);
      return result;
    } finally {
      meter.record(from, to, bytes);
    }
  };
  return {
    name: store.name,
    get: (key: string, options?: GetOptions) => count(store.get(key, options), (bytes) => bytes.length),
    putIfAbsent: (key, bytes, options) =>
      count(store.putIfAbsent(key, bytes, options), (result) => (result === "stored" ? bytes.length : 0)),
    replace: (key, bytes, options) => count(store.replace(key, bytes, options), () => bytes.length),
    compareAndSet: (key, expected, bytes, options) =>
      count(store.compareAndSet(key, expected, bytes, options), () => bytes.length),
    holds: (key, bytes, options) => count(store.holds(key, bytes, options), () => 0),
    list: (prefix, options) =>
      count(store.list(prefix, options), (keys) => keys.reduce((sum, key) => sum + key.length, 0)),
    stat: (key, options) => count(store.stat(key, options), () => 0),
    delete: (key, options) => count(store.delete(key, options), () => 0),
  };
}
