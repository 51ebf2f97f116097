/**
 * What XenoStore needs of a storage service: named, immutable objects, and a few small mutable ones (refs).
 *
 * Keys are paths like `packs/<hash>`. Readers trust a store for availability only and verify every byte; every failure
 * is a XenoError:
 *
 *     store-unavailable   it cannot be reached or refuses us     object-missing    there is no such object
 *     store-full          no room, or a quota is used up         object-damaged    shorter than its reader knows it to be
 *     object-too-large    more than the reader is ready to take  store-key         not a possible key
 *
 * `test/xenostore/stores/conformance.ts` holds what every implementation must do.
 */
import { XenoError } from "../../cowfs/errors.ts";

export interface ObjectStore {
  /** For messages: where the store is. */
  readonly name: string;

  /**
   * The bytes of an object, or exactly `range` of it. Without a range, an object larger than `maximumBytes` (default
   * 1 GiB) is refused as `object-too-large`.
   */
  get(key: string, options?: GetOptions): Promise<Buffer>;
  /** Stores an object if there is none of that name; durable when it settles. Never shows a part of an object. */
  putIfAbsent(key: string, bytes: Buffer, options?: { signal?: AbortSignal }): Promise<"stored" | "present">;
  /** Replaces an object that holds exactly `expected` (undefined: that is not there). False when it held another. */
  compareAndSet(key: string, expected: Buffer | undefined, bytes: Buffer): Promise<boolean>;
  /** All keys that begin with `prefix` (whole path components), in bytewise order. */
  list(prefix: string): Promise<string[]>;
  stat(key: string): Promise<{ bytes: number } | undefined>;
  /** Deleting what is not there is no error. */
  delete(key: string): Promise<void>;
}

export interface GetOptions {
  range?: { start: number; length: number };
  maximumBytes?: number;
  signal?: AbortSignal;
}

export const defaultMaximumBytes = 2 ** 30;

/** Throws `store-key` unless `key` is at most 20 components of letters, digits and `._~+@-`, none `.` or `..`. */
export function checkKey(key: string): void {
  const components = key.split("/");
  const isFine = (component: string) => /^[A-Za-z0-9._~+@-]{1,200}$/.test(component) && !/^\.\.?$/.test(component);
  if (components.length > 20 || !components.every(isFine))
    throw new XenoError("store-key", `${JSON.stringify(key)} is not a possible object key`, {
      hint: "Names are made of letters, digits and . _ ~ + @ - with / between components.",
    });
}

export function objectMissing(store: ObjectStore, key: string, cause?: unknown): XenoError {
  return new XenoError("object-missing", `${store.name} has no object ${key}`, {
    cause,
    hint: "Publish it there, or use the store that it was published to.",
  });
}
