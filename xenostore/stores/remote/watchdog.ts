/** Ends a request that shows no sign of life, or too few of them: its `signal` is what the request runs under. */
import type { RemotePolicy } from "./policy.ts";

export class Watchdog {
  /** Aborts with the caller's signal too. */
  readonly signal: AbortSignal;
  readonly #policy: RemotePolicy;
  readonly #ending = new AbortController();
  #idle: NodeJS.Timeout | undefined;
  #whole: NodeJS.Timeout | undefined;

  constructor(policy: RemotePolicy, signal: AbortSignal | undefined) {
    this.#policy = policy;
    this.signal = signal === undefined ? this.#ending.signal : AbortSignal.any([signal, this.#ending.signal]);
    this.touch();
  }

  /** Why it ended the request, if it did. */
  get reason(): string | undefined {
    return this.#ending.signal.aborted ? (this.#ending.signal.reason as Error).message : undefined;
  }

  /** Something came, or went. */
  touch(): void {
    clearTimeout(this.#idle);
    const { idleMs } = this.#policy;
    this.#idle = setTimeout(() => this.#abort(`nothing came for ${idleMs} ms`), idleMs);
  }

  /** From now on so many bytes are to be brought, or to be taken while no sign of life can be seen. */
  expect(bytes: number, isVisible: boolean): void {
    const { idleMs, minimumBytesPerSecond } = this.#policy;
    const wholeMs = idleMs + (bytes / minimumBytesPerSecond) * 1000;
    clearTimeout(this.#whole);
    this.#whole = setTimeout(() => this.#abort(`${bytes} bytes took longer than ${Math.round(wholeMs)} ms`), wholeMs);
    if (!isVisible) clearTimeout(this.#idle);
  }

  end(): void {
    clearTimeout(this.#idle);
    clearTimeout(this.#whole);
  }

  #abort(reason: string): void {
    this.#ending.abort(new Error(reason));
  }
}
