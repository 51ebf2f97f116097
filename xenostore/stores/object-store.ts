/**
 * What XenoStore needs of a storage service: named, immutable objects, and a few small mutable ones (refs).
 *
 * Keys are paths like `packs/<hash>`. Readers trust a store for availability only and verify every byte; every failure
 * is a XenoError:
 *
 *     store-unavailable   it cannot be reached or refuses us     object-missing    there is no such object
 *     store-throttled     it asks for fewer requests             object-damaged    shorter than its reader knows it to be
 *     store-credentials   ours are missing, wrong or expired     object-too-large  more than the reader is ready to take
 *     store-full          no room, or a quota is used up         store-key         not a possible key
 *     store-read-only     it takes no writes from us             store-unsafe      it cannot tell who was first
 *
 * What may pass by itself is a `PassingStoreError`. `test/xenostore/stores/conformance.ts` holds what every
 * implementation must do.
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
  putIfAbsent(key: string, bytes: Buffer, options?: RequestOptions): Promise<"stored" | "present">;
  /** Stores an object, in one step also over another of that name; durable when it settles. */
  replace(key: string, bytes: Buffer, options?: RequestOptions): Promise<void>;
  /** Replaces an object that holds exactly `expected` (undefined: that is not there). False when it held another. */
  compareAndSet(key: string, expected: Buffer | undefined, bytes: Buffer, options?: RequestOptions): Promise<boolean>;
  /**
   * Whether the object is there and holds exactly `bytes`, without sending them: a directory reads it, S3 compares
   * length and MD5 (its ETag). What an S3 service's own disk has damaged since, only reading it tells.
   */
  holds(key: string, bytes: Buffer, options?: RequestOptions): Promise<boolean>;
  /** All keys that begin with `prefix` (whole path components), in bytewise order. */
  list(prefix: string, options?: RequestOptions): Promise<string[]>;
  stat(key: string, options?: RequestOptions): Promise<{ bytes: number } | undefined>;
  /** Deleting what is not there is no error. */
  delete(key: string, options?: RequestOptions): Promise<void>;
}

export interface RequestOptions {
  signal?: AbortSignal;
}

export interface GetOptions extends RequestOptions {
  range?: { start: number; length: number };
  maximumBytes?: number;
}

/** A failure that may pass by itself: `store-unavailable` or `store-throttled`. The store has tried again already. */
export class PassingStoreError extends XenoError {
  /** The store asked not to be asked again for so long. */
  readonly retryAfterMs: number;

  constructor(
    code: "store-unavailable" | "store-throttled",
    message: string,
    options: { hint?: string; cause?: unknown; retryAfterMs?: number } = {},
  ) {
    super(code, message, options);
    this.retryAfterMs = options.retryAfterMs ?? 0;
  }
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

export function objectMissing(store: { readonly name: string }, key: string, cause?: unknown): XenoError {
  return new XenoError("object-missing", `${store.name} has no object ${key}`, {
    cause,
    hint: "Publish it there, or use the store that it was published to.",
  });
}

export function objectTooShort(store: { readonly name: string }, key: string, bytes: number): XenoError {
  return new XenoError("object-damaged", `object ${key} in ${store.name} ends at ${bytes}, before its end`, {
    hint: "`xeno store check --repair` takes it away; then publish again what holds it.",
  });
}

export function objectTooLarge(key: string, bytes: number, maximumBytes: number): XenoError {
  return new XenoError("object-too-large", `object ${key} has ${bytes} bytes; at most ${maximumBytes} are taken`);
}
