/**
 * Asking a remote store: bounded in number, in time, and in how often what may pass is tried again.
 *
 * Waits are drawn at random up to a doubling bound ("full jitter", Brooker, "Exponential Backoff And Jitter", AWS
 * Architecture Blog 2015), so that many clients of a store that comes back do not come back together.
 */
import { setTimeout as delay } from "node:timers/promises";
import PQueue from "p-queue";
import { PassingStoreError } from "../object-store.ts";
import type { RemotePolicy } from "./policy.ts";
import { Watchdog } from "./watchdog.ts";

/** A store that asks for more patience than this is not waited for. */
const maxRetryAfterMs = 30_000;

export class RemoteRequests {
  readonly policy: RemotePolicy;
  readonly #queue: PQueue;

  constructor(policy: RemotePolicy) {
    this.policy = policy;
    this.#queue = new PQueue({ concurrency: policy.concurrency });
  }

  /**
   * Runs `attempt` until it succeeds or fails with something else than a PassingStoreError, with a watchdog each time.
   * `number` counts from 0. Rejects with the signal's reason as soon as that aborts.
   */
  async run<T>(
    signal: AbortSignal | undefined,
    attempt: (watchdog: Watchdog, number: number) => Promise<T>,
  ): Promise<T> {
    signal?.throwIfAborted();
    return (await this.#queue.add(() => this.#repeat(signal, attempt), { signal })) as T;
  }

  async #repeat<T>(
    signal: AbortSignal | undefined,
    attempt: (watchdog: Watchdog, number: number) => Promise<T>,
  ): Promise<T> {
    const { patienceMs, maxAttempts, firstDelayMs, maxDelayMs } = this.policy;
    const end = performance.now() + patienceMs;
    for (let number = 0; ; number++) {
      const watchdog = new Watchdog(this.policy, signal);
      try {
        return await attempt(watchdog, number);
      } catch (error) {
        signal?.throwIfAborted();
        const bound = Math.min(maxDelayMs, firstDelayMs * 2 ** number);
        const wait = Math.max(Math.random() * bound, error instanceof PassingStoreError ? error.retryAfterMs : 0);
        const isWorthIt =
          error instanceof PassingStoreError &&
          error.retryAfterMs <= maxRetryAfterMs &&
          number + 1 < maxAttempts &&
          performance.now() + wait < end;
        if (!isWorthIt) throw error;
        this.policy.onWait?.(error);
        await delay(wait, undefined, { signal }).catch(() => {});
        signal?.throwIfAborted();
      } finally {
        watchdog.end();
      }
    }
  }
}

/** What a `Retry-After` header asks for (RFC 9110, section 10.2.3), 0 where it says nothing that can be understood. */
export function readRetryAfter(header: string | undefined): number {
  if (header === undefined) return 0;
  const seconds = /^\d{1,9}$/.test(header.trim()) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds * 1000) : 0;
}
