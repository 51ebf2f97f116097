/**
 * Storing objects that are named by their own hash: present is as good as stored, and what is damaged is replaced.
 */
import type { ObjectStore } from "../stores/object-store.ts";

/** Bytes that were sent: 0 where the object was there already. */
export async function putContentObject(
  store: ObjectStore,
  key: string,
  bytes: Buffer,
  signal?: AbortSignal,
): Promise<number> {
  if ((await store.putIfAbsent(key, bytes, { signal })) === "present") {
    if (await store.holds(key, bytes, { signal })) return 0;
    // It would be kept for ever, and be nothing that anybody can read.
    await store.replace(key, bytes, { signal });
  }
  return bytes.length;
}
