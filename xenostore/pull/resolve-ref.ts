/**
 * From a name to the tree that its owner means by it.
 *
 * A store that turns back the clock is caught where it can be: the newest `current` that was believed is remembered
 * under `seenDirectory`, and an older one is refused, as is one older than `minimumCreated`.
 */
import fs from "node:fs/promises";
import path from "node:path";
import { decodeJwt } from "jose";
import { XenoError } from "../../cowfs/errors.ts";
import type { Trust } from "../keys/key-ring.ts";
import { currentVersion, idKey, maxRefBytes, type Ref, refKey, removedRef, verifyRef } from "../refs/ref.ts";
import { getIfPresent } from "../stores/get-if-present.ts";
import type { ObjectStore } from "../stores/object-store.ts";
import { keepFile } from "./keep-file.ts";

export interface ResolveOptions {
  /** Where this machine remembers what it has seen; without it, only `minimumCreated` protects from older refs. */
  seenDirectory?: string;
  /** Milliseconds since the epoch: refuse a ref that was signed earlier. */
  minimumCreated?: number;
  /** Milliseconds since the epoch, for refs that expire; the host's clock by default. */
  now?: number;
  signal?: AbortSignal;
}

/**
 * The ref of `owner/name` at `version`, which may be `current`. Throws `ref-missing`, `ref-untrusted`, `ref-damaged`,
 * `ref-expired`, `ref-older`, `ref-too-new`, or what the store throws.
 */
export async function resolveRef(
  store: ObjectStore,
  trust: Trust,
  owner: string,
  name: string,
  version: string,
  options: ResolveOptions = {},
): Promise<Ref> {
  const label = `${owner}/${name}@${version}`;
  const key = refKey(owner, name, version);
  const bytes = await getIfPresent(store, key, { maximumBytes: maxRefBytes, signal: options.signal });
  if (bytes === undefined || bytes.equals(removedRef))
    throw new XenoError("ref-missing", `${store.name} has no ${label}`, {
      hint: "Check the spelling; `xeno template ls` shows the templates, and publishing makes a name.",
    });
  const ref = await verifyRef(bytes, { owner, name, version }, trust, options.now ?? Date.now());
  const seen = version === currentVersion ? await readSeen(options.seenDirectory, owner, name) : 0;
  const minimum = Math.max(seen, options.minimumCreated ?? 0);
  if (ref.created < minimum)
    throw new XenoError(
      "ref-older",
      `${label} in ${store.name} is older than ${ref.created < seen ? "one that was seen before" : "it may be"}`,
      {
        hint: "The store is behind, or turns back the clock: use another store, or name the version that is wanted.",
      },
    );
  if (version === currentVersion && ref.created > seen)
    await writeSeen(options.seenDirectory, owner, name, ref.created);
  return ref;
}

/**
 * Who of `owner`'s keys vouches for a tree that is known by its id: undefined where the store has no such statement that
 * can be believed. Throws what the store throws.
 */
export async function resolveId(
  store: ObjectStore,
  trust: Trust,
  owner: string,
  tree: string,
  options: Pick<ResolveOptions, "now" | "signal"> = {},
): Promise<Ref | undefined> {
  const { signal } = options;
  const bytes = await getIfPresent(store, idKey(owner, tree), { maximumBytes: maxRefBytes, signal });
  if (bytes === undefined) return undefined;
  try {
    const { name, version } = decodeJwt(bytes.toString("latin1"));
    const expected = { owner, name: String(name), version: String(version) };
    const ref = await verifyRef(bytes, expected, trust, options.now ?? Date.now());
    return ref.tree === tree ? ref : undefined;
  } catch {
    return undefined;
  }
}

/** Who has names in a store; nothing about them is verified. */
export async function listOwners(store: ObjectStore, options: { signal?: AbortSignal } = {}): Promise<string[]> {
  return [...new Set((await store.list("refs", options)).map((key) => key.split("/")[1]))];
}

/** The names and versions that a store lists for an owner; nothing about them is verified. */
export async function listRefs(store: ObjectStore, owner: string): Promise<{ name: string; version: string }[]> {
  const keys = await store.list(`refs/${owner}`);
  return keys.map((key) => {
    const components = key.split("/").slice(2);
    return { name: components.slice(0, -1).join("/"), version: components.at(-1)! };
  });
}

async function readSeen(directory: string | undefined, owner: string, name: string): Promise<number> {
  if (directory === undefined) return 0;
  const text = await fs.readFile(seenFile(directory, owner, name), "utf8").catch((error) => {
    if (error.code === "ENOENT") return "0";
    throw error;
  });
  const created = Number(text);
  return Number.isSafeInteger(created) ? created : 0;
}

async function writeSeen(directory: string | undefined, owner: string, name: string, created: number): Promise<void> {
  if (directory === undefined) return;
  await keepFile(seenFile(directory, owner, name), `${created}\n`, { flush: true });
}

/** No component of a name begins with a dot, so the file is no other name's folder. */
function seenFile(directory: string, owner: string, name: string): string {
  return path.join(directory, owner, name, ".newest");
}
