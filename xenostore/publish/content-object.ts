/**
 * Storing objects that are named by their own hash: present is as good as stored, and what is damaged is replaced.
 */
import { XenoError } from "../../cowfs/errors.ts";
import type { ObjectStore } from "../stores/object-store.ts";

/** Bytes that were sent: 0 where the object was there already. */
export async function putContentObject(
  store: ObjectStore,
  key: string,
  bytes: Buffer,
  signal?: AbortSignal,
): Promise<number> {
  for (let attempt = 0; attempt < 2; attempt++) {
    if ((await store.putIfAbsent(key, bytes, { signal })) === "stored") return bytes.length;
    if ((await store.stat(key))?.bytes === bytes.length) return 0;
    // An object that was cut short (by a disk, not by us) would be kept for ever.
    await store.delete(key);
  }
  throw new XenoError("store-unavailable", `${store.name} keeps a damaged object ${key}`, {
    hint: "Check the store's disk.",
  });
}
