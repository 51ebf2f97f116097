/** A cap on what is brought ahead of time, in bytes a second (token bucket), shared by all who are given it. */
import { setTimeout as delay } from "node:timers/promises";

/** So much may go at once after a silence: less would make of every batch a wait of its own. */
const burstMs = 1_000;

export class Pace {
  readonly #bytesPerMs: number;
  readonly #now: () => number;
  /** When what was let through so far will have passed at this pace, in ms. */
  #until = Number.NEGATIVE_INFINITY;

  constructor(bytesPerSecond: number, now: () => number = () => performance.now()) {
    this.#bytesPerMs = bytesPerSecond / 1000;
    this.#now = now;
  }

  /** Settles when so many more bytes may go; rejects as soon as the signal aborts. */
  readonly take = async (bytes: number, signal: AbortSignal): Promise<void> => {
    const now = this.#now();
    this.#until = Math.max(this.#until, now - burstMs) + bytes / this.#bytesPerMs;
    if (this.#until > now) await delay(this.#until - now, undefined, { signal });
  };
}
