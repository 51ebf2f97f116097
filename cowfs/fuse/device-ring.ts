/**
 * How the thread that reads the device hands requests over: a ring of slots in shared memory.
 *
 * `written` and `taken` only count up (modulo 2^32); the reader waits while they are a ring apart, the server while they
 * are equal. One thread writes each of them.
 */
import { maxDataBytes, pageBytes } from "./protocol.ts";

export const slotBytes = maxDataBytes + pageBytes;
/** Requests read ahead of the one being served. Memory is used as large writes touch it: up to 4 MiB a mount. */
export const slots = 4;

export const written = 0;
export const taken = 1;
const counterBytes = 64;

export interface Ring {
  readonly counters: Int32Array;
  readonly data: readonly Buffer[];
}

export function allocateRing(): SharedArrayBuffer {
  return new SharedArrayBuffer(counterBytes + slots * slotBytes);
}

export function openRing(memory: SharedArrayBuffer): Ring {
  const counters = new Int32Array(memory, 0, 2);
  const data = Array.from({ length: slots }, (_, slot) =>
    Buffer.from(memory, counterBytes + slot * slotBytes, slotBytes),
  );
  return { counters, data };
}

export function slotOf(count: number): number {
  return (count >>> 0) % slots;
}
