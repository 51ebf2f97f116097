/**
 * Objects named by their hash, kept in a local directory once they were fetched: read again without the store.
 */
import fs from "node:fs/promises";
import { blake3 } from "@napi-rs/blake-hash";
import { XenoError } from "../../cowfs/errors.ts";
import type { ObjectStore } from "../stores/object-store.ts";
import { keepFile } from "./keep-file.ts";
import { type RetryPolicy, retryStore } from "./retry.ts";

const never = new AbortController().signal;

/**
 * The bytes of the object `key`, whose BLAKE3 is `hash`, from `file` or else from the store. A copy that is damaged is
 * fetched again, once; one that finds no room on the disk is used all the same. Throws `object-damaged` naming the key
 * when the store has no good one.
 */
export async function getCachedObject(
  store: ObjectStore,
  key: string,
  hash: string,
  file: string,
  { maximumBytes, retries, signal = never }: { maximumBytes: number; retries?: RetryPolicy; signal?: AbortSignal },
): Promise<Buffer> {
  const isGood = (bytes: Buffer) => blake3(bytes).toString("hex") === hash;
  const cached = await fs.readFile(file).catch(() => undefined);
  if (cached && isGood(cached)) return cached;
  for (let attempt = 0; attempt < 2; attempt++) {
    const bytes = await retryStore((signal) => store.get(key, { maximumBytes, signal }), signal, retries);
    if (!isGood(bytes)) continue;
    await keep(file, bytes);
    return bytes;
  }
  throw new XenoError("object-damaged", `object ${key} in ${store.name} does not have the hash that names it`, {
    hint: "Delete the object from the store and publish again what holds it.",
  });
}

async function keep(file: string, bytes: Buffer): Promise<void> {
  try {
    await keepFile(file, bytes, { flush: true });
  } catch (cause) {
    if (["ENOSPC", "EDQUOT"].includes((cause as NodeJS.ErrnoException).code ?? "")) return;
    throw new XenoError("cache-unwritable", `cannot keep ${file}: ${(cause as Error).message}`, {
      cause,
      hint: "Check the disk and its permissions.",
    });
  }
}
