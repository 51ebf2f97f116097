/** What a tree needs to be read: its index and pack map, the packs, what it lies over, its boot trace, and its vouchers. */
import PQueue from "p-queue";
import { XenoError } from "../../cowfs/errors.ts";
import { maxLayoutBytes, openLayout } from "../packs/layout.ts";
import { maxRefBytes, type StoredTree } from "../refs/ref.ts";
import { getIfPresent } from "../stores/get-if-present.ts";
import type { ObjectStore, RequestOptions } from "../stores/object-store.ts";
import { traceKey } from "../traces/boot-trace.ts";
import { type Claims, listKept, readClaims } from "./claims.ts";

export const maxRequests = 16;

/** Of every tree that somebody vouches for: the keys of the vouchers, and what they say. */
export type Vouchers = ReadonlyMap<string, { readonly keys: readonly string[]; readonly claims: readonly Claims[] }>;

export async function readVouchers(
  store: ObjectStore,
  keys: readonly string[],
  options: RequestOptions = {},
): Promise<Vouchers> {
  const vouchers = new Map<string, { keys: string[]; claims: Claims[] }>();
  const queue = new PQueue({ concurrency: maxRequests });
  await queue.addAll(
    keys.map((key) => async () => {
      const tree = key.split("/").at(-1)!;
      const known = vouchers.get(tree) ?? { keys: [], claims: [] };
      vouchers.set(tree, known);
      known.keys.push(key);
      const bytes = await getIfPresent(store, key, { ...options, maximumBytes: maxRefBytes });
      const claims = bytes && readClaims(bytes);
      if (claims?.tree === tree) known.claims.push(claims);
    }),
  );
  return vouchers;
}

/** Adds up what trees need; each pack map is read once. */
export class Reach {
  readonly objects = new Set<string>();
  readonly #store: ObjectStore;
  readonly #vouchers: Vouchers;
  readonly #options: RequestOptions;
  readonly #seen = new Set<string>();

  constructor(store: ObjectStore, vouchers: Vouchers, options: RequestOptions = {}) {
    this.#store = store;
    this.#vouchers = vouchers;
    this.#options = options;
  }

  /** Throws `object-missing` or `object-damaged` for a pack map that tells no more which packs are needed. */
  async addStored({ tree, layout }: StoredTree): Promise<void> {
    const name = `${tree} ${layout}`;
    if (this.#seen.has(name)) return;
    this.#seen.add(name);
    const bytes = await this.#store.get(`layouts/${layout}`, { ...this.#options, maximumBytes: maxLayoutBytes });
    for (const pack of openLayout(bytes, layout).packs()) this.objects.add(`packs/${pack}`);
    this.objects.add(`layouts/${layout}`);
    this.objects.add(`trees/${tree}`);
    this.objects.add(traceKey(tree));
    for (const key of this.#vouchers.get(tree)?.keys ?? []) this.objects.add(key);
  }

  /**
   * A tree that is known by its id alone. What is gone already keeps nothing. Throws `collection-unsafe` where nothing
   * tells the pack map of a tree that is there.
   */
  async addTree(tree: string): Promise<void> {
    const claims = this.#vouchers.get(tree)?.claims ?? [];
    for (const claim of claims)
      for (const stored of listKept(claim))
        await this.addStored(stored).catch((error) => {
          if (!(error instanceof XenoError && error.code === "object-missing")) throw error;
        });
    if (claims.length > 0 || (await this.#store.stat(`trees/${tree}`, this.#options)) === undefined) return;
    throw new XenoError(
      "collection-unsafe",
      `tree ${tree} is pinned, but nothing in ${this.#store.name} says where it lies`,
      {
        hint: "Publish it again, or take the pin away: xeno store pins",
      },
    );
  }
}

/** Everything that these trees need, as far as the store knows them. */
export async function collectReach(
  store: ObjectStore,
  trees: readonly string[],
  options: RequestOptions = {},
): Promise<Set<string>> {
  const wanted = new Set(trees);
  const keys = (await store.list("ids", options)).filter((key) => wanted.has(key.split("/").at(-1)!));
  const reach = new Reach(store, await readVouchers(store, keys, options), options);
  for (const tree of wanted) await reach.addTree(tree);
  return reach.objects;
}
