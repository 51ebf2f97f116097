import path from "node:path";
import test from "ava";
import { XenoError } from "../../../cowfs/errors.ts";
import { createKey, readTrust, trustKey } from "../../../xenostore/keys/key-ring.ts";
import { keepRefs } from "../../../xenostore/pull/kept-refs.ts";
import { resolveRef } from "../../../xenostore/pull/resolve-ref.ts";
import { refKey, signRef } from "../../../xenostore/refs/ref.ts";
import { openDirectoryStore } from "../../../xenostore/stores/directory-store.ts";
import type { ObjectStore } from "../../../xenostore/stores/object-store.ts";
import { makeDirectory } from "../make-directory.ts";

test("a name that was resolved is known while the store is away, verified as ever, and forgotten once the store says so", async (t) => {
  const directory = await makeDirectory(t);
  const keys = path.join(directory, "keys");
  const key = await createKey(keys, "publisher");
  await trustKey(keys, "demo", key.publicKey);
  const real = await openDirectoryStore(path.join(directory, "store"));
  let isAway = false;
  const moody: ObjectStore = Object.assign(Object.create(real), {
    get: async (...asked: Parameters<ObjectStore["get"]>) => {
      if (isAway) throw new XenoError("store-unavailable", "the store is away");
      return await real.get(...asked);
    },
  });
  const store = keepRefs(moody, path.join(directory, "kept"));
  const resolve = (now = Date.now()) => resolveRef(store, readTrust(keys), "demo", "apache", "1", { now });
  const id = "ab".repeat(32);
  const expires = Date.now() + 3_600_000;
  const ref = {
    owner: "demo",
    name: "apache",
    version: "1",
    tree: id,
    layout: id,
    base: [],
    created: Date.now(),
    expires,
  };
  isAway = true;
  await t.throwsAsync(resolve(), { code: "store-unavailable" });
  isAway = false;
  await real.putIfAbsent(refKey("demo", "apache", "1"), await signRef(ref, key));
  t.is((await resolve()).tree, id);
  isAway = true;
  t.is((await resolve()).tree, id);
  await t.throwsAsync(resolve(expires + 1), { code: "ref-expired" });
  await t.throwsAsync(store.get("packs/x"), { code: "store-unavailable" });
  isAway = false;
  await real.delete(refKey("demo", "apache", "1"));
  await t.throwsAsync(resolve(), { code: "ref-missing" });
  isAway = true;
  await t.throwsAsync(resolve(), { code: "store-unavailable" });
});
