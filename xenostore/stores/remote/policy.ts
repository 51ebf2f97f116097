/** How patient a client of a remote store is, and how much it asks for at once. */
export interface RemotePolicy {
  /** No answer, or no byte more of one, for so long ends an attempt. */
  readonly idleMs: number;
  /** An attempt that brings or takes less than this on the whole is ended, too: a store may trickle for ever. */
  readonly minimumBytesPerSecond: number;
  /** For so long what may pass is tried again, `maxAttempts` times at most. */
  readonly patienceMs: number;
  readonly maxAttempts: number;
  /** The waits between attempts are drawn between 0 and a bound that doubles from the first to the last of these. */
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
  /** Requests under way at once. */
  readonly concurrency: number;
  /** Told of what is waited for before it is tried again. */
  onWait?(error: Error): void;
}

/** For those who wait in front of a guest or a command: half a minute, then a clear error. */
export const defaultPolicy: RemotePolicy = {
  idleMs: 15_000,
  minimumBytesPerSecond: 32 * 1024,
  patienceMs: 30_000,
  maxAttempts: 20,
  firstDelayMs: 100,
  maxDelayMs: 5_000,
  concurrency: 16,
};

/** For who would have to begin anew: a store that is gone for so long only delays a publication. */
export function makePatientPolicy(patienceMs = 300_000, onWait?: RemotePolicy["onWait"]): RemotePolicy {
  const { maxDelayMs } = defaultPolicy;
  // Waits are half of their bound on average.
  const maxAttempts = Math.max(defaultPolicy.maxAttempts, Math.ceil((4 * patienceMs) / maxDelayMs));
  return { ...defaultPolicy, patienceMs, maxAttempts, onWait };
}
