/**
 * A publisher's lease: the objects that it relies on until its ref names them (`leases/<id>`).
 *
 * It is renewed by use: a publisher that was silent for longer than the term finds its lease lapsed, and must not commit
 * before it has looked whether everything is still there. Clocks of publishers and sweepers may differ by `clockSkewMs`.
 */
import { randomUUID } from "node:crypto";
import os from "node:os";
import { Type } from "typebox";
import { Check } from "typebox/value";
import type { ObjectStore } from "../stores/object-store.ts";
import { type RescueOptions, rescueObjects } from "./condemned.ts";

export const leaseTermMs = 3_600_000;
export const clockSkewMs = 1_800_000;
const renewAfterMs = leaseTermMs / 4;

export const leaseFormat = 1;

export interface LeaseRecord {
  readonly format: typeof leaseFormat;
  readonly host: string;
  readonly process: number;
  /** Milliseconds since the epoch. */
  readonly expires: number;
  readonly objects: readonly string[];
}

const Record = Type.Object({
  format: Type.Literal(leaseFormat),
  host: Type.String(),
  process: Type.Integer(),
  expires: Type.Integer(),
  objects: Type.Array(Type.String()),
});

/** Undefined where the bytes are none that we know. */
export function parseLease(bytes: Buffer): LeaseRecord | undefined {
  try {
    const record: unknown = JSON.parse(bytes.toString());
    return Check(Record, record) ? record : undefined;
  } catch {
    return undefined;
  }
}

export interface LeaseOptions extends RescueOptions {
  readonly now?: () => number;
}

export class Lease {
  readonly key = `leases/${randomUUID()}`;
  readonly #store: ObjectStore;
  readonly #options: LeaseOptions;
  readonly #objects = new Set<string>();
  #expires = 0;
  /** Those who ask while a write is under way share the next one. */
  #writing: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(store: ObjectStore, options: LeaseOptions = {}) {
    this.#store = store;
    this.#options = options;
  }

  /**
   * When it settles, no sweep deletes `objects` while the lease is held; those that one was just deleting are gone. Look
   * whether they are there, or store them, after this and not before.
   */
  async protect(objects: Iterable<string>): Promise<void> {
    const added = new Set<string>();
    for (const object of objects) {
      if (this.#objects.has(object)) continue;
      this.#objects.add(object);
      added.add(object);
    }
    const isFresh = this.#now() < this.#expires - leaseTermMs + renewAfterMs;
    if (added.size === 0 && isFresh) return;
    // After a lapse, everything may have been condemned.
    const wanted = this.isLapsed ? this.#objects : added;
    await this.#write();
    await rescueObjects(this.#store, wanted, this.#options);
  }

  /** True where a sweeper may not have honoured it to this moment. */
  get isLapsed(): boolean {
    return this.#expires !== 0 && this.#now() >= this.#expires;
  }

  get objects(): ReadonlySet<string> {
    return this.#objects;
  }

  /** What it held is from now on held by the refs that name it, or by nobody. */
  async end(): Promise<void> {
    await this.#writing?.catch(() => {});
    if (this.#expires !== 0) await this.#store.delete(this.key);
  }

  #write(): Promise<void> {
    this.#next ??= (async () => {
      await this.#writing?.catch(() => {});
      this.#writing = this.#next;
      this.#next = undefined;
      const expires = this.#now() + leaseTermMs;
      const record: LeaseRecord = {
        format: leaseFormat,
        host: os.hostname(),
        process: process.pid,
        expires,
        objects: [...this.#objects],
      };
      const { signal } = this.#options;
      await this.#store.replace(this.key, Buffer.from(JSON.stringify(record)), { signal });
      this.#expires = expires;
    })();
    return this.#next;
  }

  #now(): number {
    return this.#options.now?.() ?? Date.now();
  }
}
