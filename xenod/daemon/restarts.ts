/**
 * Starts domains again that ended, by the policy of their deployments: after a pause that doubles while they end soon, so that a
 * guest which crashes at its start does not keep the host busy. A domain that a client stopped stays stopped.
 *
 * Nothing of this is kept but what a domain's record says of its end: the next Xenod comes to the same decision.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { RestartPolicy } from "./deployment.ts";
import type { DomainRecord, EndCause } from "./domain-record.ts";

const causes: Readonly<Record<RestartPolicy, readonly EndCause[]>> = {
  never: [],
  "host-boot": ["host-boot"],
  crash: ["host-boot", "crash"],
  always: ["host-boot", "crash", "power-off"],
};

/** Of a domain that ran for so long, the next end counts as its first. */
const soundMs = 600_000;
const maxPauseMs = 300_000;

/** Whether a domain that ended is to be started again, soon or when its host has booted. */
export function isToRestart({ deployment, intent, endedBy }: DomainRecord): boolean {
  return intent === "running" && endedBy !== undefined && causes[deployment.restart ?? "never"].includes(endedBy);
}

export interface RestartsOptions {
  start(name: string): Promise<unknown>;
  onFailed(name: string, error: unknown): void;
  readonly signal: AbortSignal;
  /** Before the first restart. */
  readonly firstPauseMs?: number;
}

export class Restarts {
  readonly #options: RestartsOptions;
  readonly #pauses = new Map<string, number>();
  readonly #waiting = new Map<string, AbortController>();

  constructor(options: RestartsOptions) {
    this.#options = options;
  }

  /** Looks at a domain that has ended, or that was found ended. */
  consider(record: DomainRecord): void {
    const { name, endedBy } = record;
    if (!isToRestart(record) || this.#waiting.has(name)) return;
    const { start, onFailed, signal, firstPauseMs = 1000 } = this.#options;
    const ranMs = (record.ended ?? 0) - (record.steps.kernel ?? 0);
    const before = this.#pauses.get(name);
    const isFirst = before === undefined || ranMs > soundMs || endedBy === "host-boot";
    const pauseMs = isFirst ? firstPauseMs : Math.min(maxPauseMs, before * 2);
    this.#pauses.set(name, pauseMs);
    const cancelled = new AbortController();
    this.#waiting.set(name, cancelled);
    delay(pauseMs, undefined, { signal: AbortSignal.any([signal, cancelled.signal]) })
      .then(async () => {
        this.#waiting.delete(name);
        await start(name);
      })
      .catch((error) => {
        if (signal.aborted || cancelled.signal.aborted) return;
        onFailed(name, error);
        // What keeps it from starting may pass: memory that others take, a store that is away.
        this.consider(record);
      });
  }

  /** A client has decided about the domain. */
  cancel(name: string): void {
    this.#waiting.get(name)?.abort();
    this.#waiting.delete(name);
    this.#pauses.delete(name);
  }
}
