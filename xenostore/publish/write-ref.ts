/**
 * Publishing a ref: first the version, which never changes its tree, then `current`.
 */
import { decodeJwt } from "jose";
import { XenoError } from "../../cowfs/errors.ts";
import type { SigningKey, Trust } from "../keys/key-ring.ts";
import { currentVersion, idKey, maxRefBytes, type Ref, refKey, removedRef, signRef, verifyRef } from "../refs/ref.ts";
import { getIfPresent } from "../stores/get-if-present.ts";
import type { ObjectStore, RequestOptions } from "../stores/object-store.ts";

/** Other publishers may move `current` between our read and our write; so often is nobody unlucky. */
const maxAttempts = 20;

/** What the newest version of a name was at some moment. */
export interface CurrentRef {
  /** Undefined where there was none. */
  readonly bytes: Buffer | undefined;
  /** Where the key that was asked with had signed it: what others put there decides nothing. */
  readonly ref: Ref | undefined;
}

export async function readCurrent(
  store: ObjectStore,
  { owner, name }: { readonly owner: string; readonly name: string },
  key: SigningKey,
  options: RequestOptions = {},
): Promise<CurrentRef> {
  const bytes = await readRef(store, refKey(owner, name, currentVersion), options);
  return { bytes, ref: bytes && (await readOwn(bytes, { owner, name }, key)) };
}

export interface WriteRefOptions extends RequestOptions {
  /** Move `current` only from here; without it, from wherever it is. */
  replaces?: CurrentRef;
}

/**
 * Signs and stores `ref`. Its time is moved past that of the `current` it replaces, so that a publisher's clock that
 * went back makes no ref which readers take for an older one. Throws `version-exists` when the version names another
 * tree (the same tree again is no error), and `name-moved` when `current` is not what it was to replace: then somebody
 * else was first, and only the version is there.
 */
export async function writeRef(
  store: ObjectStore,
  ref: Ref,
  key: SigningKey,
  { replaces, signal }: WriteRefOptions = {},
): Promise<Ref> {
  if (ref.version === currentVersion)
    throw new XenoError("store-key", `a version cannot be named ${currentVersion}`, { hint: "Name the version." });
  const versionKey = refKey(ref.owner, ref.name, ref.version);
  const currentKey = refKey(ref.owner, ref.name, currentVersion);
  for (let attempt = 0; attempt < maxAttempts; attempt++) {
    const current = replaces ?? (await readCurrent(store, ref, key, { signal }));
    const dated = { ...ref, created: Math.max(ref.created, (current.ref?.created ?? 0) + 1) };
    const signed = await signRef(dated, key);
    const version = await readRef(store, versionKey, { signal });
    if (version && readClaims(version)?.tree !== ref.tree)
      throw new XenoError("version-exists", `${ref.owner}/${ref.name}@${ref.version} is published with another tree`, {
        hint: "Published versions do not change: publish it as another version.",
      });
    if (!(await store.compareAndSet(versionKey, version, signed, { signal }))) continue;
    // For those who know the tree and look for who vouches for it: without lists, and in one request.
    await store.replace(idKey(ref.owner, ref.tree), signed, { signal });
    if (await store.compareAndSet(currentKey, current.bytes, signed, { signal })) return dated;
    if (replaces === undefined) continue;
    throw new XenoError("name-moved", `somebody else published ${ref.owner}/${ref.name} meanwhile`, {
      hint: `Yours is there as @${ref.version}, but not as the newest. Look at theirs; publish again to replace it.`,
    });
  }
  throw new XenoError("store-unavailable", `${ref.owner}/${ref.name} is being published by many at once`, {
    hint: "Try again.",
  });
}

/**
 * Takes a version away, and `current` where it is that version: by compare-and-set to a mark, since no store deletes so. A
 * `current` that somebody moved meanwhile stays theirs. Of one who publishes the very same version meanwhile, only `current` may be left.
 */
export async function removeRef(
  store: ObjectStore,
  { owner, name, version }: Pick<Ref, "owner" | "name" | "version">,
  options: RequestOptions = {},
): Promise<void> {
  const key = refKey(owner, name, currentVersion);
  for (let attempt = 0; ; attempt++) {
    const current = await readRef(store, key, options);
    if (current === undefined || readClaims(current)?.version !== version) break;
    if (await store.compareAndSet(key, current, removedRef, options)) break;
    if (attempt === maxAttempts) throw busy({ owner, name });
  }
  await store.delete(refKey(owner, name, version), options);
}

function busy({ owner, name }: Pick<Ref, "owner" | "name">): XenoError {
  return new XenoError("store-unavailable", `${owner}/${name} is being published by many at once`, {
    hint: "Try again.",
  });
}

async function readRef(store: ObjectStore, key: string, options: RequestOptions): Promise<Buffer | undefined> {
  return await getIfPresent(store, key, { ...options, maximumBytes: maxRefBytes });
}

async function readOwn(
  bytes: Buffer,
  { owner, name }: { readonly owner: string; readonly name: string },
  key: SigningKey,
): Promise<Ref | undefined> {
  const own: Trust = { description: "", find: async (_, id) => (id === key.id ? key.verifyKey : undefined) };
  return await verifyRef(bytes, { owner, name, version: currentVersion }, own, 0).catch(() => undefined);
}

/** What a ref says without asking who said it: enough to refuse, never to believe. */
function readClaims(bytes: Buffer): Record<string, unknown> | undefined {
  try {
    return decodeJwt(bytes.toString("latin1"));
  } catch {
    return undefined;
  }
}
