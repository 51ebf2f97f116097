/**
 * Since when data cannot be had, need by need: a client that is told to ask again is told so until a limit, where there is
 * one, and then that there is an error.
 */
import type { Need } from "../fault.ts";

/** Beyond this many the oldest are forgotten, and their time begins anew. */
const maxLacks = 10_000;

export class Lacks {
  readonly #now: () => number;
  readonly #since = new Map<string, number>();

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** These did not come, again. True once one of them has not for `limitMs`, counted from the first time. */
  note(needs: readonly Need[], limitMs: number): boolean {
    if (limitMs === Number.POSITIVE_INFINITY) return false;
    const now = this.#now();
    let isOver = false;
    for (const { key } of needs) {
      const since = this.#since.get(key) ?? now;
      this.#since.set(key, since);
      if (now - since >= limitMs) isOver = true;
    }
    for (const key of this.#since.keys()) {
      if (this.#since.size <= maxLacks) break;
      this.#since.delete(key);
    }
    return isOver;
  }

  /** These came. */
  end(needs: readonly Need[]): void {
    if (this.#since.size > 0) for (const { key } of needs) this.#since.delete(key);
  }
}
