/**
 * How a reader bears with a store: what may be better in a moment is asked for again, after a pause that grows and is
 * spread at random, so that a store which comes back is not met by all of its readers at once.
 *
 * Within `patienceMs` (a minute). Whoever waits longer asks anew: a guest does so by itself, for as long as it runs. What is
 * brought ahead of time has no patience, so that it holds no turn that a guest could use; whoever drives it does.
 */
import { setTimeout as delay } from "node:timers/promises";
import { XenoError } from "../../cowfs/errors.ts";
import { PassingStoreError } from "../stores/object-store.ts";

export interface RetryPolicy {
  readonly patienceMs: number;
  readonly firstPauseMs: number;
  readonly maxPauseMs: number;
  /** One request may take so long before it is given up and counts as failed; for ever by default. */
  readonly attemptMs?: number;
}

export const defaultRetryPolicy: RetryPolicy = {
  patienceMs: 60_000,
  firstPauseMs: 200,
  maxPauseMs: 5_000,
  attemptMs: 30_000,
};

/** Settles with what `attempt` does. Rejects with its last error, or as soon as `signal` aborts. */
export async function retryStore<T>(
  attempt: (signal: AbortSignal) => Promise<T>,
  signal: AbortSignal,
  policy: RetryPolicy = defaultRetryPolicy,
  random: () => number = Math.random,
): Promise<T> {
  const end = performance.now() + policy.patienceMs;
  for (let pauseMs = policy.firstPauseMs; ; pauseMs = Math.min(policy.maxPauseMs, pauseMs * 2)) {
    const { attemptMs } = policy;
    const deadline = attemptMs === undefined ? undefined : AbortSignal.timeout(attemptMs);
    try {
      return await attempt(deadline === undefined ? signal : AbortSignal.any([signal, deadline]));
    } catch (error) {
      signal.throwIfAborted();
      const failure = deadline?.aborted ? tooSlow(attemptMs!, error) : error;
      const pause = Math.max(pauseMs * (0.5 + random() / 2), retryAfter(failure));
      if (!isPassing(failure) || performance.now() + pause > end) throw failure;
      await delay(pause, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}

/** Whether a failure may be gone in a moment. That an object is missing or damaged is an answer. */
function isPassing(error: unknown): boolean {
  return error instanceof PassingStoreError || (error instanceof XenoError && error.code === "store-unavailable");
}

/** Ms: a store that throttles says when it wants to be asked again. */
function retryAfter(error: unknown): number {
  return error instanceof PassingStoreError ? error.retryAfterMs : 0;
}

function tooSlow(attemptMs: number, cause: unknown): XenoError {
  return new XenoError("store-unavailable", `the store did not answer within ${attemptMs / 1000} s`, {
    cause,
    hint: "See that the store is up and can be reached. What is in the cache is served meanwhile.",
  });
}
