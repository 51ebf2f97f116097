/**
 * Reads a whole store and tells what of it is damaged or missing, and which names suffer from it.
 *
 * Repair takes damaged objects away and nothing else: what is gone is sent again by the next publication of the same
 * content, while a damaged object would be taken for what it is named.
 */
import { blake3 } from "@napi-rs/blake-hash";
import PQueue from "p-queue";
import { XenoError } from "../../cowfs/errors.ts";
import { validateIndex } from "../../cowfs/trees/validate.ts";
import { type Layout, maxLayoutBytes, maxPackBytes, openLayout } from "../packs/layout.ts";
import { maxRefBytes, removedRef } from "../refs/ref.ts";
import { getIfPresent } from "../stores/get-if-present.ts";
import type { ObjectStore } from "../stores/object-store.ts";
import { listKept, readClaims } from "./claims.ts";
import { parseLease } from "./lease.ts";
import { parsePin } from "./pin.ts";

/** Packs are read whole: this many at once are 128 MiB at most. */
const maxReads = 4;
const maxTreeBytes = 2 ** 30;

export interface StoreProblem {
  readonly key: string;
  readonly kind: "damaged" | "missing";
  /** For `missing`: the name that needs it. */
  readonly neededBy?: string;
  readonly repaired: boolean;
}

export interface StoreCheck {
  readonly objects: number;
  readonly bytes: number;
  readonly problems: readonly StoreProblem[];
}

export interface CheckOptions {
  readonly repair?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (checked: { objects: number; ofObjects: number; bytes: number }) => void;
}

/** Rejects with what the store throws other than damage. */
export async function checkStore(store: ObjectStore, options: CheckOptions = {}): Promise<StoreCheck> {
  const { signal, repair = false } = options;
  const keys = await store.list("", { signal });
  const layouts = new Map<string, Layout>();
  const damaged = new Set<string>();
  const queue = new PQueue({ concurrency: maxReads });
  let objects = 0;
  let bytes = 0;
  await queue.addAll(
    keys.map((key) => async () => {
      const read = await readWhole(store, key, signal);
      if (read === undefined || isDamaged(key, read, layouts)) damaged.add(key);
      objects++;
      bytes += read?.length ?? 0;
      options.onProgress?.({ objects, ofObjects: keys.length, bytes });
    }),
  );
  const problems: StoreProblem[] = [];
  for (const key of [...damaged].sort()) {
    // What was swept meanwhile was read as damaged.
    if ((await store.stat(key, { signal })) === undefined) continue;
    if (repair) await store.delete(key, { signal });
    problems.push({ key, kind: "damaged", repaired: repair });
  }
  const there = new Set(keys.filter((key) => !damaged.has(key)));
  for (const key of keys.filter((key) => key.startsWith("refs/") && there.has(key)))
    for (const missing of await findMissing(store, key, there, layouts, signal))
      problems.push({ key: missing, kind: "missing", neededBy: key, repaired: false });
  return { objects, bytes, problems };
}

async function findMissing(
  store: ObjectStore,
  refKey: string,
  there: ReadonlySet<string>,
  layouts: ReadonlyMap<string, Layout>,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const bytes = await getIfPresent(store, refKey, { maximumBytes: maxRefBytes, signal });
  const claims = bytes && readClaims(bytes);
  if (claims === undefined) return [];
  const needed = listKept(claims).flatMap(({ tree, layout }) => [
    `trees/${tree}`,
    `layouts/${layout}`,
    ...(layouts.get(`layouts/${layout}`)?.packs() ?? []).map((pack) => `packs/${pack}`),
  ]);
  return [...new Set(needed)].filter((key) => !there.has(key));
}

/** Undefined where it is damaged on the store's own disk, or too large to be anything of ours. */
async function readWhole(
  store: ObjectStore,
  key: string,
  signal: AbortSignal | undefined,
): Promise<Buffer | undefined> {
  const [kind] = key.split("/");
  const maximumBytes = kind === "packs" ? maxPackBytes : kind === "layouts" ? maxLayoutBytes : maxTreeBytes;
  try {
    return await store.get(key, { maximumBytes, signal });
  } catch (error) {
    if (error instanceof XenoError && error.code.startsWith("object-")) return undefined;
    throw error;
  }
}

function isDamaged(key: string, bytes: Buffer, layouts: Map<string, Layout>): boolean {
  const [kind, id] = key.split("/");
  try {
    if (kind === "packs") return blake3(bytes).toString("hex") !== id;
    if (kind === "trees") validateIndex(bytes, id);
    if (kind === "layouts") layouts.set(key, openLayout(bytes, id));
  } catch (error) {
    if (error instanceof XenoError) return !error.code.endsWith("-too-new");
    throw error;
  }
  if (kind === "refs" && bytes.equals(removedRef)) return false;
  if (kind === "refs" || kind === "ids") return readClaims(bytes) === undefined;
  if (kind === "pins") return parsePin(bytes) === undefined;
  if (kind === "leases") return parseLease(bytes) === undefined;
  return false;
}
