/**
 * The end of a turn of the event loop: flush the file system once, start one sync for all replies that need it, then
 * write each connection's replies at once.
 *
 * (T1) No reply leaves before a flush that covers it has returned.
 * (T2) A reply that promises stable storage leaves only after a sync that began after its change has settled.
 * (T3) When a flush or a sync fails, no reply leaves any more.
 * (T4) What was answered without such a promise (`unsafeAsync`) has a sync begin at most `mostUnsyncedMs` later.
 */
import type { FileSystem } from "../file-system.ts";
import type { Connection } from "./connection.ts";

/** Of what a host that loses power may lose: ext4 syncs its own every five seconds (`commit`, ext4(5)). */
const mostUnsyncedMs = 1000;

export class Turn {
  readonly #fileSystem: FileSystem;
  readonly #onFailed: (error: unknown) => void;
  #isScheduled = false;
  #isStopped = false;
  #connections: Connection[] = [];
  #proceeding: Connection[] = [];
  #synced: (() => void)[] = [];
  #laterSync: NodeJS.Timeout | undefined;

  constructor(fileSystem: FileSystem, onFailed: (error: unknown) => void) {
    this.#fileSystem = fileSystem;
    this.#onFailed = onFailed;
  }

  /** The connection has replies for the end of this turn. */
  add(connection: Connection): void {
    if (!connection.isInTurn) {
      connection.isInTurn = true;
      this.#connections.push(connection);
    }
    this.#schedule();
  }

  /** Calls back when all that was changed until now is on stable storage. Never, when it cannot be (T3). */
  afterSync(callback: () => void): void {
    this.#synced.push(callback);
    this.#schedule();
  }

  /** (T4) */
  syncLater(): void {
    this.#laterSync ??= setTimeout(() => {
      this.#laterSync = undefined;
      this.afterSync(() => {});
    }, mostUnsyncedMs);
  }

  proceedLater(connection: Connection): void {
    this.#proceeding.push(connection);
    this.#schedule();
  }

  sendEarly(connection: Connection): void {
    if (this.#flush()) connection.send();
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#laterSync);
    this.#connections = [];
    this.#proceeding = [];
    this.#synced = [];
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(this.#end);
  }

  readonly #end = (): void => {
    this.#isScheduled = false;
    if (!this.#flush()) return;
    if (this.#synced.length > 0) this.#startSync();
    const connections = this.#connections;
    this.#connections = [];
    for (const connection of connections) {
      connection.isInTurn = false;
      connection.renew();
      connection.send();
    }
    if (this.#proceeding.length === 0) return;
    const proceeding = this.#proceeding;
    this.#proceeding = [];
    for (const connection of proceeding) connection.proceed();
  };

  #flush(): boolean {
    if (this.#isStopped) return false;
    try {
      this.#fileSystem.flush();
      return true;
    } catch (error) {
      this.#onFailed(error);
      return false;
    }
  }

  #startSync(): void {
    const callbacks = this.#synced;
    this.#synced = [];
    const settled = () => {
      if (this.#isStopped) return;
      for (const callback of callbacks) callback();
    };
    try {
      this.#fileSystem.sync().then(settled, this.#onFailed);
    } catch (error) {
      this.#onFailed(error);
    }
  }
}
