/**
 * Group commit: many wait for one sync, and one runs at a time. Who comes while one runs shares the next, since the one that runs
 * may not cover what was written since it began; where nothing was, it covers all.
 */
export class GroupSync {
  readonly #sync: () => Promise<void>;
  #isDirty = false;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  /** `sync` covers what was written before it is called; after one that rejected, each does. */
  constructor(sync: () => Promise<void>) {
    this.#sync = sync;
  }

  /** Something was written that a sync is to cover. */
  note(): void {
    this.#isDirty = true;
  }

  /** Settles once all that was noted before is covered. */
  request(): Promise<void> {
    if (!this.#isDirty) return this.#running ?? Promise.resolve();
    // First: between the end of the running one and its start it is the only one, and neither runs.
    if (this.#next !== undefined) return this.#next;
    if (this.#running === undefined) return this.#start();
    this.#next = this.#running
      .catch(() => {})
      .then(() => {
        this.#next = undefined;
        return this.#start();
      });
    return this.#next;
  }

  /** Once no sync runs or waits, however they end. */
  async settled(): Promise<void> {
    await Promise.allSettled([this.#running, this.#next]);
  }

  #start(): Promise<void> {
    this.#isDirty = false;
    this.#running = this.#sync().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }
}
