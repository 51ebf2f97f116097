/**
 * Names that were resolved here stay known while their store is away: what the store answered last for a ref is kept, and
 * given again when it cannot be asked. So a XenoServer that has all of a template boots from it without its store.
 *
 * Nothing is trusted for being kept: whoever asked verifies signature, expiry and age as of an answer of the store's.
 */
import fs from "node:fs/promises";
import path from "node:path";
import { XenoError } from "../../cowfs/errors.ts";
import { checkKey, type GetOptions, type ObjectStore, PassingStoreError } from "../stores/object-store.ts";
import { keepFile } from "./keep-file.ts";

/** Signed statements about trees: small, and of use only as a whole. */
const keptPrefixes = ["refs/", "ids/"];

/** The same store. `directory` may be shared by processes. */
export function keepRefs(store: ObjectStore, directory: string): ObjectStore {
  const isKept = (key: string) => keptPrefixes.some((prefix) => key.startsWith(prefix));
  const get = async (key: string, options?: GetOptions): Promise<Buffer> => {
    if (!isKept(key)) return await store.get(key, options);
    checkKey(key);
    const file = fileOf(directory, key);
    try {
      const bytes = await store.get(key, options);
      await keep(file, bytes).catch(() => {});
      return bytes;
    } catch (error) {
      if (error instanceof XenoError && error.code === "object-missing")
        await fs.rm(file, { force: true }).catch(() => {});
      if (!isAway(error)) throw error;
      const kept = await fs.readFile(file).catch(() => undefined);
      if (kept === undefined) throw error;
      return kept;
    }
  };
  return {
    name: store.name,
    get,
    putIfAbsent: (...asked) => store.putIfAbsent(...asked),
    replace: (...asked) => store.replace(...asked),
    compareAndSet: (...asked) => store.compareAndSet(...asked),
    holds: (...asked) => store.holds(...asked),
    list: (...asked) => store.list(...asked),
    stat: (...asked) => store.stat(...asked),
    delete: (...asked) => store.delete(...asked),
  };
}

function isAway(error: unknown): boolean {
  return error instanceof PassingStoreError || (error instanceof XenoError && error.code === "store-unavailable");
}

async function keep(file: string, bytes: Buffer): Promise<void> {
  const known = await fs.readFile(file).catch(() => undefined);
  if (known?.equals(bytes)) return;
  await keepFile(file, bytes);
}

/** A key's last component gets a suffix that none has, so that no object is in the way of another's folder. */
function fileOf(directory: string, key: string): string {
  return path.join(directory, `${key}.,kept`);
}
