/** A store in memory, whose every operation takes effect in one step: for interleavings. */
import { checkKey, type ObjectStore, objectMissing, objectTooShort } from "../../xenostore/stores/object-store.ts";

/** `turn` is waited for before each operation takes effect. */
export function createMemoryStore(turn: (what: string) => Promise<unknown> = async () => {}) {
  const objects = new Map<string, Buffer>();
  const name = "a store in memory";
  const take = async (what: string, key: string) => {
    if (key !== "") checkKey(key);
    await turn(`${what} ${key}`);
  };
  const store: ObjectStore = {
    name,
    async get(key, { range } = {}) {
      await take("get", key);
      const bytes = objects.get(key);
      if (bytes === undefined) throw objectMissing({ name }, key);
      if (range === undefined) return Buffer.from(bytes);
      if (range.start + range.length > bytes.length) throw objectTooShort({ name }, key, bytes.length);
      return Buffer.from(bytes.subarray(range.start, range.start + range.length));
    },
    async putIfAbsent(key, bytes) {
      await take("put", key);
      if (objects.has(key)) return "present";
      objects.set(key, Buffer.from(bytes));
      return "stored";
    },
    async replace(key, bytes) {
      await take("replace", key);
      objects.set(key, Buffer.from(bytes));
    },
    async compareAndSet(key, expected, bytes) {
      await take("compare-and-set", key);
      const current = objects.get(key);
      if (current === undefined ? expected !== undefined : !expected?.equals(current)) return false;
      objects.set(key, Buffer.from(bytes));
      return true;
    },
    async holds(key, bytes) {
      await take("holds", key);
      return objects.get(key)?.equals(bytes) ?? false;
    },
    async list(prefix) {
      await take("list", prefix);
      return [...objects.keys()].filter((key) => prefix === "" || key.startsWith(`${prefix}/`)).sort();
    },
    async stat(key) {
      await take("stat", key);
      const bytes = objects.get(key);
      return bytes && { bytes: bytes.length };
    },
    async delete(key) {
      await take("delete", key);
      objects.delete(key);
    },
  };
  return { store, objects };
}
