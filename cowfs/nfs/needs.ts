/**
 * Brings what faulted operations need. A need that several operations wait for is brought once, and given up when the
 * last of them is.
 */
import type { Need } from "../fault.ts";

interface Bringing {
  readonly arrival: Promise<void>;
  readonly controller: AbortController;
  users: number;
}

export class Needs {
  readonly #underWay = new Map<string, Bringing>();

  /** Settles when all are here; rejects with the first that cannot be had, or when `signal` aborts. */
  async bring(needs: readonly Need[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const shared = needs.map((need) => this.#share(need));
    const { promise: cancelled, reject } = Promise.withResolvers<never>();
    const cancel = () => reject(signal.reason);
    signal.addEventListener("abort", cancel, { once: true });
    try {
      await Promise.race([Promise.all(shared.map((bringing) => bringing.arrival)), cancelled]);
    } finally {
      signal.removeEventListener("abort", cancel);
      for (const bringing of shared) if (--bringing.users === 0) bringing.controller.abort();
    }
  }

  #share(need: Need): Bringing {
    let bringing = this.#underWay.get(need.key);
    if (bringing === undefined || bringing.controller.signal.aborted) {
      const controller = new AbortController();
      const started: Bringing = { arrival: startBringing(need, controller.signal), controller, users: 0 };
      const forget = () => {
        if (this.#underWay.get(need.key) === started) this.#underWay.delete(need.key);
      };
      started.arrival.then(forget, forget);
      this.#underWay.set(need.key, started);
      bringing = started;
    }
    bringing.users++;
    return bringing;
  }
}

/** A `bring` that throws at once rejects like one that throws later. */
async function startBringing(need: Need, signal: AbortSignal): Promise<void> {
  await need.bring(signal);
}
