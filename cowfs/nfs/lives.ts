/**
 * The lives of a guest, as its server sees them: a guest that boots mounts its root.
 *
 * Who resets a guest tells its server so, by `startEpoch`; but a guest may reset itself while nobody is there to tell.
 *
 * - (B1) A MNT begins a new epoch, unless the last one is still unused or the guest is alive: it may mount a second time,
 *   and what it has under way must find its answers. It is alive if it speaks on a connection from before, or if its
 *   kernel does not disown one: the kernel of a guest that was reset answers the probe of an old connection with a reset.
 * - (B2) The epoch is on stable storage before the MNT is answered, so that nothing of the new life is kept under the old
 *   one's number, and no connection of the old life is left that could still say something.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Need } from "../fault.ts";
import type { Connection } from "./connection.ts";
import type { Execution } from "./execution.ts";
import type { Peer } from "./procedures/procedure.ts";

/**
 * A connection that is disowned is so within a second, or, where replies were under way when the guest was reset, when
 * they are sent again: that takes as long again as the boot took. Shorter than the wait of a request for data.
 */
const aliveAfterMs = 8000;
const lookMs = 20;

export interface LivesOptions {
  /** Whether the epoch may have been used by an earlier life of this server. */
  readonly isUsed: boolean;
  /** Makes a new epoch durable, and calls `startEpoch` with it. */
  begin(): Promise<void>;
}

export class Lives {
  readonly #connections: ReadonlySet<Connection>;
  readonly #execution: Execution;
  readonly #options: LivesOptions;
  /** Connections whose guest was found to be alive. */
  readonly #alive = new WeakSet<Connection>();

  constructor(connections: ReadonlySet<Connection>, execution: Execution, options: LivesOptions) {
    this.#connections = connections;
    this.#execution = execution;
    this.#options = options;
  }

  needBeforeMount(peer: Peer): Need | undefined {
    if (!this.#execution.isEpochUsed) return undefined;
    const own = [...this.#connections].find((connection) => connection.peer === peer);
    if (own === undefined || own.hasServed || this.#alive.has(own)) return undefined;
    return { key: "life of the guest", bring: (signal) => this.#decide(own, signal) };
  }

  async #decide(own: Connection, signal: AbortSignal): Promise<void> {
    const before = [...this.#connections].filter((connection) => connection !== own && connection.hasServed);
    if (await isAnyAlive(before, signal)) this.#alive.add(own);
    else await this.#options.begin();
  }
}

async function isAnyAlive(connections: readonly Connection[], signal: AbortSignal): Promise<boolean> {
  const heard = new Map(connections.map((connection) => [connection, connection.lastActive]));
  for (const connection of connections) connection.probe();
  const deadline = performance.now() + aliveAfterMs;
  for (;;) {
    const open = connections.filter(({ isOpen }) => isOpen);
    if (open.length === 0) return false;
    if (open.some((connection) => connection.lastActive !== heard.get(connection))) return true;
    if (performance.now() > deadline) return true;
    await delay(lookMs, undefined, { signal });
  }
}
