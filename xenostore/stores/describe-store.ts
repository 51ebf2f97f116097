/** What a store can do, found out by asking it: for the commands, and for a XenoServer that begins. */
import { XenoError } from "../../cowfs/errors.ts";
import type { ObjectStore } from "./object-store.ts";
import type { S3Store } from "./s3/s3-store.ts";

export interface StoreDescription {
  /** `no`: it is read only; by us at least. */
  readonly writes: "yes" | "no";
  /** What its conditional writes are worth, where that is a question. */
  readonly conditions?: string;
}

/** Rejects where it cannot even be read. */
export async function describeStore(store: ObjectStore, signal?: AbortSignal): Promise<StoreDescription> {
  // A name that no store has: a store that answers "missing" can be read.
  await store.stat("refs/nobody", { signal });
  if (!isS3(store)) return { writes: await canWrite(store, signal) };
  try {
    const { create, replace, etags } = await store.conditions(signal);
    const conditions = `If-None-Match ${create}, If-Match ${replace} with ${etags} ETags`;
    if (create === "atomic" && replace === "atomic") return { writes: "yes", conditions };
    return { writes: "no", conditions: `${conditions}: not safe to publish to` };
  } catch (error) {
    if (error instanceof XenoError && error.code === "store-credentials") return { writes: "no" };
    throw error;
  }
}

async function canWrite(store: ObjectStore, signal?: AbortSignal): Promise<"yes" | "no"> {
  try {
    await store.delete("probe/nothing", { signal });
    return "yes";
  } catch (error) {
    if (error instanceof XenoError && error.code === "store-read-only") return "no";
    throw error;
  }
}

function isS3(store: ObjectStore): store is S3Store {
  return "conditions" in store;
}
