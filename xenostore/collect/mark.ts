/** Everything in a store that somebody needs: from its refs, its pins and its leases. */
import PQueue from "p-queue";
import { XenoError } from "../../cowfs/errors.ts";
import { maxRefBytes, removedRef } from "../refs/ref.ts";
import { getIfPresent } from "../stores/get-if-present.ts";
import type { ObjectStore } from "../stores/object-store.ts";
import { type Claims, listKept, readClaims } from "./claims.ts";
import { clockSkewMs, parseLease } from "./lease.ts";
import { readPin } from "./pin.ts";
import { maxRequests, Reach, readVouchers } from "./reach.ts";

const maxLeaseBytes = 64 * 2 ** 20;

export interface Marked {
  readonly objects: ReadonlySet<string>;
  readonly refs: number;
  readonly pins: number;
  readonly leases: number;
  /** Leases of publishers that are long gone. */
  readonly expiredLeases: readonly string[];
}

export interface MarkOptions {
  readonly now: number;
  readonly signal?: AbortSignal;
}

/**
 * Reads every ref, pin and lease. What it cannot understand it must not take for nothing: throws `collection-unsafe`
 * naming the object, or what a pack map that a ref names throws.
 */
export async function markObjects(store: ObjectStore, { now, signal }: MarkOptions): Promise<Marked> {
  const [refKeys, pinKeys, leaseKeys, idKeys] = await Promise.all(
    ["refs", "pins", "leases", "ids"].map((prefix) => store.list(prefix, { signal })),
  );
  const reach = new Reach(store, await readVouchers(store, idKeys, { signal }), { signal });
  const queue = new PQueue({ concurrency: maxRequests });
  const claims = new Map<string, Claims>();
  await queue.addAll(
    refKeys.map((key) => async () => {
      const bytes = await getIfPresent(store, key, { maximumBytes: maxRefBytes, signal });
      if (bytes === undefined || bytes.equals(removedRef)) return;
      const read = readClaims(bytes);
      if (read === undefined) throw unsafe(store, key, "no ref");
      claims.set(key, read);
    }),
  );
  for (const claim of claims.values()) for (const stored of listKept(claim)) await reach.addStored(stored);
  for (const key of pinKeys) {
    const pin = await readPin(store, key, { signal });
    if (pin === undefined && (await store.stat(key, { signal })) !== undefined) throw unsafe(store, key, "no pin");
    for (const tree of pin?.trees ?? []) await reach.addTree(tree);
  }
  const objects = new Set(reach.objects);
  const expiredLeases: string[] = [];
  for (const key of leaseKeys) {
    const bytes = await getIfPresent(store, key, { maximumBytes: maxLeaseBytes, signal });
    if (bytes === undefined) continue;
    const lease = parseLease(bytes);
    if (lease === undefined) throw unsafe(store, key, "no lease");
    if (lease.expires + clockSkewMs < now) expiredLeases.push(key);
    else for (const object of lease.objects) objects.add(object);
  }
  return {
    objects,
    refs: claims.size,
    pins: pinKeys.length,
    leases: leaseKeys.length - expiredLeases.length,
    expiredLeases,
  };
}

function unsafe(store: ObjectStore, key: string, what: string): XenoError {
  return new XenoError("collection-unsafe", `${key} in ${store.name} is ${what} that we know: it may need anything`, {
    hint: "Upgrade this software, or take that object away: xeno store check --repair",
  });
}
