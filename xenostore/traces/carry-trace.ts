/** What boots of a tree read, as chunks of the tree that follows it: a new version of a template boots like the last one. */
import { limits } from "../../cowfs/trees/format.ts";
import { readChunkTable } from "../../cowfs/trees/open.ts";
import { validateIndex } from "../../cowfs/trees/validate.ts";
import type { ObjectStore } from "../stores/object-store.ts";
import { decodeTrace, encodeTrace, maxTraceBytes, traceKey } from "./boot-trace.ts";

/** True where the new tree has a trace now. A trace is a hint: without a good one for the old tree there is none. */
export async function carryTrace(store: ObjectStore, from: string, to: string): Promise<boolean> {
  try {
    const trace = decodeTrace(await store.get(traceKey(from), { maximumBytes: maxTraceBytes }));
    const read = trace.get(from) ?? [];
    const [before, after] = await Promise.all([openChunks(store, from), openChunks(store, to)]);
    const numbers = new Map(Array.from({ length: after.count }, (_, chunk) => [after.hash(chunk), chunk]));
    const carried = read
      .filter((chunk) => chunk < before.count)
      .map((chunk) => numbers.get(before.hash(chunk)))
      .filter((chunk) => chunk !== undefined);
    if (carried.length === 0) return false;
    return await store.compareAndSet(traceKey(to), undefined, encodeTrace(new Map([[to, carried]])));
  } catch {
    return false;
  }
}

async function openChunks(store: ObjectStore, treeId: string) {
  const index = await store.get(`trees/${treeId}`, { maximumBytes: limits.indexBytes });
  return readChunkTable(validateIndex(index, treeId));
}
