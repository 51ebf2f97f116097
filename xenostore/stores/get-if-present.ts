import { XenoError } from "../../cowfs/errors.ts";
import type { GetOptions, ObjectStore } from "./object-store.ts";

/** The bytes of an object, undefined where there is none of that name. */
export async function getIfPresent(store: ObjectStore, key: string, options: GetOptions): Promise<Buffer | undefined> {
  try {
    return await store.get(key, options);
  } catch (error) {
    if (error instanceof XenoError && error.code === "object-missing") return undefined;
    throw error;
  }
}
