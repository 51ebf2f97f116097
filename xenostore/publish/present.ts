/** What of earlier publications a store still has. */
import PQueue from "p-queue";
import { XenoError } from "../../cowfs/errors.ts";
import { maxLayoutBytes, openLayout } from "../packs/layout.ts";
import type { StoredTree } from "../refs/ref.ts";
import { getIfPresent } from "../stores/get-if-present.ts";
import type { ObjectStore } from "../stores/object-store.ts";

const maxStats = 16;

export async function findPresent(
  store: ObjectStore,
  packs: Iterable<string>,
  signal?: AbortSignal,
): Promise<Set<string>> {
  const there = new Set<string>();
  const queue = new PQueue({ concurrency: maxStats });
  await queue.addAll(
    [...packs].map((pack) => async () => {
      if ((await store.stat(`packs/${pack}`, { signal })) !== undefined) there.add(pack);
    }),
  );
  return there;
}

/** Those whose pack map the store has, with every pack that it points into. */
export async function findWhole(
  store: ObjectStore,
  trees: readonly StoredTree[],
  signal?: AbortSignal,
): Promise<StoredTree[]> {
  const whole: StoredTree[] = [];
  for (const stored of trees) if (await isWhole(store, stored, signal)) whole.push(stored);
  return whole;
}

async function isWhole(store: ObjectStore, { layout }: StoredTree, signal?: AbortSignal): Promise<boolean> {
  const bytes = await getIfPresent(store, `layouts/${layout}`, { maximumBytes: maxLayoutBytes, signal });
  if (bytes === undefined) return false;
  try {
    const packs = openLayout(bytes, layout).packs();
    return (await findPresent(store, packs, signal)).size === packs.length;
  } catch (error) {
    if (error instanceof XenoError && error.code === "object-damaged") return false;
    throw error;
  }
}
