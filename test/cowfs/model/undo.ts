/** What a transaction did to objects and maps, so that it can be taken back in reverse order. */
export class UndoLog {
  #steps: (() => void)[] = [];

  /** Sets properties of an object. */
  assign<T extends object>(target: T, patch: Partial<T>): void {
    const before: Partial<T> = {};
    for (const key of Object.keys(patch) as (keyof T)[]) before[key] = target[key];
    this.#steps.push(() => Object.assign(target, before));
    Object.assign(target, patch);
  }

  /** Sets an entry of a map, or deletes it where `value` is undefined. */
  put<K, V>(map: Map<K, V>, key: K, value: V | undefined): void {
    const before = map.get(key);
    this.#steps.push(() => store(map, key, before));
    store(map, key, value);
  }

  rollBack(): void {
    for (const step of this.#steps.reverse()) step();
    this.#steps = [];
  }

  forget(): void {
    this.#steps = [];
  }
}

function store<K, V>(map: Map<K, V>, key: K, value: V | undefined): void {
  if (value === undefined) map.delete(key);
  else map.set(key, value);
}
