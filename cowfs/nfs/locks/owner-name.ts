/** A process of a client, as NLM names it: a number and an opaque handle, which only the client understands. */
import type { LockRange } from "./lock-table.ts";

export function nameProcess(number: number, handle: Buffer): string {
  return `${number} ${handle.toString("latin1")}`;
}

export function parseProcess(name: string): { number: number; handle: Buffer } {
  const at = name.indexOf(" ");
  return { number: Number(name.slice(0, at)), handle: Buffer.from(name.slice(at + 1), "latin1") };
}

/** The length that NLM writes: 0 is to the end of the file, however far that is. */
export function lengthOf({ start, end }: Omit<LockRange, "isExclusive">): number {
  return end === Number.POSITIVE_INFINITY ? 0 : end - start;
}
