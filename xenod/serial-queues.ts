/** One queue per name: what concerns one domain or export runs one after the other, whatever else runs. */
export class SerialQueues {
  readonly #last = new Map<string, Promise<unknown>>();

  run<T>(name: string, operation: () => Promise<T>): Promise<T> {
    const before = this.#last.get(name) ?? Promise.resolve();
    const running = before.then(operation, operation);
    const settled = running.then(
      () => {},
      () => {},
    );
    this.#last.set(name, settled);
    void settled.then(() => {
      if (this.#last.get(name) === settled) this.#last.delete(name);
    });
    return running;
  }

  /** Settles once nothing runs or waits. */
  async idle(): Promise<void> {
    while (this.#last.size > 0) await Promise.all(this.#last.values());
  }
}
