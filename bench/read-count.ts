import { UsageError } from "./usage-error.ts";

/** A flag's whole number from 1 to `most`. Throws a UsageError. */
export function readCount(flag: string, text: string, most: number): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= most) return count;
  throw new UsageError(`${flag} takes a whole number from 1 to ${most}, not '${text}'`);
}
