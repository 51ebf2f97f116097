/** Values that are believed for a while: at most so many, the oldest go first. Times are of `performance.now()`. */
export class TimedCache<K, V> {
  readonly #capacity: number;
  readonly #values = new Map<K, { readonly value: V; readonly until: number }>();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get(key: K): V | undefined {
    const known = this.#values.get(key);
    if (known === undefined) return undefined;
    if (known.until > performance.now()) return known.value;
    this.#values.delete(key);
    return undefined;
  }

  set(key: K, value: V, until: number): void {
    this.#values.delete(key);
    if (this.#values.size >= this.#capacity)
      for (const oldest of this.#values.keys()) {
        this.#values.delete(oldest);
        break;
      }
    this.#values.set(key, { value, until });
  }

  delete(key: K): void {
    this.#values.delete(key);
  }
}
