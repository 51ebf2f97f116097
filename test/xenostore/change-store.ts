import type { ObjectStore } from "../../xenostore/stores/object-store.ts";

/** The same store, with some of what it does changed. */
export function changeStore(store: ObjectStore, change: Partial<ObjectStore>): ObjectStore {
  return {
    name: store.name,
    get: (key, options) => store.get(key, options),
    putIfAbsent: (key, bytes, options) => store.putIfAbsent(key, bytes, options),
    replace: (key, bytes, options) => store.replace(key, bytes, options),
    compareAndSet: (key, expected, bytes, options) => store.compareAndSet(key, expected, bytes, options),
    holds: (key, bytes, options) => store.holds(key, bytes, options),
    list: (prefix, options) => store.list(prefix, options),
    stat: (key, options) => store.stat(key, options),
    delete: (key, options) => store.delete(key, options),
    ...change,
  };
}
