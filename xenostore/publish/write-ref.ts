/**
 * Publishing a ref: first the version, which never changes its tree, then `current`.
 */
import { decodeJwt } from "jose";
import { XenoError } from "../../cowfs/errors.ts";
import type { SigningKey, Trust } from "../keys/key-ring.ts";
import { currentVersion, maxRefBytes, type Ref, refKey, signRef, verifyRef } from "../refs/ref.ts";
import type { ObjectStore } from "../stores/object-store.ts";

/** Other publishers may move `current` between our read and our write; so often is nobody unlucky. */
const maxAttempts = 20;

/**
 * Signs and stores `ref`. Its time is moved past that of the `current` it replaces, so that a publisher's clock that
 * went back makes no ref which readers take for an older one. Throws `version-exists` when the version names another
 * tree; the same tree again is no error.
 */
export async function writeRef(store: ObjectStore, ref: Ref, key: SigningKey): Promise<Ref> {
  if (ref.version === currentVersion)
    throw new XenoError("store-key", `a version cannot be named ${currentVersion}`, { hint: "Name the version." });
  const versionKey = refKey(ref.owner, ref.name, ref.version);
  const currentKey = refKey(ref.owner, ref.name, currentVersion);
  for (let attempt = 0; attempt < maxAttempts; attempt++) {
    const current = await readRef(store, currentKey);
    const previous = current && (await readOwn(current, ref, key));
    const dated = { ...ref, created: Math.max(ref.created, (previous?.created ?? 0) + 1) };
    const signed = await signRef(dated, key);
    const version = await readRef(store, versionKey);
    if (version && claimedTree(version) !== ref.tree)
      throw new XenoError("version-exists", `${ref.owner}/${ref.name}@${ref.version} is published with another tree`, {
        hint: "Published versions do not change: publish it as another version.",
      });
    if (!(await store.compareAndSet(versionKey, version, signed))) continue;
    if (await store.compareAndSet(currentKey, current, signed)) return dated;
  }
  throw new XenoError("store-unavailable", `${ref.owner}/${ref.name} is being published by many at once`, {
    hint: "Try again.",
  });
}

async function readRef(store: ObjectStore, key: string): Promise<Buffer | undefined> {
  try {
    return await store.get(key, { maximumBytes: maxRefBytes });
  } catch (error) {
    if (error instanceof XenoError && error.code === "object-missing") return undefined;
    throw error;
  }
}

/** The ref, if we signed it: what others put there decides nothing. */
async function readOwn(bytes: Buffer, ref: Ref, key: SigningKey): Promise<Ref | undefined> {
  const own: Trust = { description: "", find: async (_, id) => (id === key.id ? key.verifyKey : undefined) };
  return await verifyRef(bytes, { ...ref, version: currentVersion }, own, 0).catch(() => undefined);
}

/** What a ref says without asking who said it: enough to refuse, never to believe. */
function claimedTree(bytes: Buffer): unknown {
  try {
    return decodeJwt(bytes.toString("latin1")).tree;
  } catch {
    return undefined;
  }
}
