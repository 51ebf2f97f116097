import path from "node:path";
import test, { type ExecutionContext } from "ava";
import { CompactSign } from "jose";
import { createKey, readTrust, type SigningKey, trustKey } from "../../../xenostore/keys/key-ring.ts";
import { readCurrent, removeRef, writeRef } from "../../../xenostore/publish/write-ref.ts";
import { listRefs, type ResolveOptions, resolveId, resolveRef } from "../../../xenostore/pull/resolve-ref.ts";
import { type Ref, refKey, signRef } from "../../../xenostore/refs/ref.ts";
import { openDirectoryStore } from "../../../xenostore/stores/directory-store.ts";
import { changeStore } from "../change-store.ts";
import { makeDirectory } from "../make-directory.ts";

const tree = (n: number) => String(n).repeat(64);
const makeRef = (change: Partial<Ref> = {}): Ref => ({
  owner: "demo",
  name: "apache",
  version: "1",
  tree: tree(1),
  layout: tree(2),
  base: [{ tree: tree(3), layout: tree(4) }],
  created: 1_000_000,
  ...change,
});

async function setUp(t: ExecutionContext) {
  const directory = await makeDirectory(t);
  const store = await openDirectoryStore(path.join(directory, "store"));
  const key = await createKey(directory, "demo");
  await trustKey(directory, "demo", key.publicKey);
  const trust = readTrust(directory);
  const seenDirectory = path.join(directory, "seen");
  const resolve = (version = "current", options: ResolveOptions = {}) =>
    resolveRef(store, trust, "demo", "apache", version, { now: 2_000_000, seenDirectory, ...options });
  /** What a hostile store can do. */
  const plant = async (version: string, bytes: Buffer) => {
    const key = refKey("demo", "apache", version);
    await store.delete(key);
    await store.putIfAbsent(key, bytes);
  };
  return { directory, store, key, resolve, plant };
}

test("a ref comes back as it was signed", async (t) => {
  const { store, key, resolve } = await setUp(t);
  const ref = makeRef({ expires: 3_000_000 });
  await writeRef(store, ref, key);
  t.deepEqual(await resolve(), ref);
  t.deepEqual(await resolve("1"), ref);
  t.deepEqual(await listRefs(store, "demo"), [
    { name: "apache", version: "1" },
    { name: "apache", version: "current" },
  ]);
});

test("current moves to what was published last, even when the publisher's clock went back", async (t) => {
  const { store, key, resolve } = await setUp(t);
  await writeRef(store, makeRef(), key);
  await resolve();
  await writeRef(store, makeRef({ version: "2", tree: tree(5), created: 500 }), key);
  const current = await resolve();
  t.is(current.version, "2");
  t.true(current.created > 1_000_000);
  t.is((await resolve("1")).tree, tree(1));
});

test("a store that turns back the clock is caught by who has seen the newer ref, or names a minimum", async (t) => {
  const { store, key, resolve, plant } = await setUp(t);
  await writeRef(store, makeRef(), key);
  const old = await store.get(refKey("demo", "apache", "1"));
  await writeRef(store, makeRef({ version: "2", created: 1_500_000 }), key);
  t.is((await resolve()).version, "2");
  await plant("current", old);
  await t.throwsAsync(resolve(), { code: "ref-older", message: /demo\/apache@current/ });
  t.is((await resolve("current", { seenDirectory: undefined })).version, "1");
  const minimumCreated = 1_500_000;
  await t.throwsAsync(resolve("current", { seenDirectory: undefined, minimumCreated }), { code: "ref-older" });
  t.is((await resolve("1")).version, "1", "an old version that is asked for by its name is no attack");
});

test("a ref that expired is refused", async (t) => {
  const { store, key, resolve } = await setUp(t);
  await writeRef(store, makeRef({ expires: 2_000_000 }), key);
  await t.throwsAsync(resolve(), { code: "ref-expired" });
  t.is((await resolve("current", { now: 1_999_999 })).version, "1");
});

test("publishers who race for current leave one of them there, and lose no version", async (t) => {
  const { store, key, resolve } = await setUp(t);
  const versions = ["1", "2", "3", "4"];
  await Promise.all(versions.map((version) => writeRef(store, makeRef({ version }), key)));
  t.true(versions.includes((await resolve()).version));
  for (const version of versions) t.is((await resolve(version)).version, version);
});

test("of two publishers that began from the same version one moves current, and the other is told", async (t) => {
  const { store, key, resolve } = await setUp(t);
  await writeRef(store, makeRef(), key);
  const replaces = await readCurrent(store, makeRef(), key);
  const publish = (version: string) => writeRef(store, makeRef({ version }), key, { replaces });
  const results = await Promise.allSettled([publish("2"), publish("3")]);
  const [lost] = results.filter((result) => result.status === "rejected");
  t.is(results.filter(({ status }) => status === "fulfilled").length, 1);
  t.is(lost.reason.code, "name-moved");
  t.is((await resolve()).version, results[0].status === "fulfilled" ? "2" : "3");
  for (const version of ["2", "3"]) t.is((await resolve(version)).version, version);
});

test("taking a version away leaves a current that somebody moved meanwhile, and else none, until the next is published", async (t) => {
  const { store, key, resolve } = await setUp(t);
  await writeRef(store, makeRef(), key);
  let isMoved = false;
  const raced = changeStore(store, {
    get: async (name, options) => {
      const bytes = await store.get(name, options);
      if (name.endsWith("/current") && !isMoved) {
        isMoved = true;
        await writeRef(store, makeRef({ version: "2" }), key);
      }
      return bytes;
    },
  });
  await removeRef(raced, makeRef());
  t.is((await resolve()).version, "2");
  await t.throwsAsync(resolve("1"), { code: "ref-missing" });
  await removeRef(store, makeRef({ version: "2" }));
  for (const version of ["2", "current"]) await t.throwsAsync(resolve(version), { code: "ref-missing" });
  const replaces = await readCurrent(store, makeRef(), key);
  await writeRef(store, makeRef({ version: "3", created: 1_000_100 }), key, { replaces });
  t.is((await resolve()).version, "3");
});

test("a tree that is known by its id has a voucher without a list, whom only trust makes one", async (t) => {
  const { store, key, directory } = await setUp(t);
  await writeRef(store, makeRef(), key);
  const trust = readTrust(directory);
  const options = { now: 2_000_000 };
  t.is((await resolveId(store, trust, "demo", tree(1), options))?.version, "1");
  t.is(await resolveId(store, trust, "demo", tree(8), options), undefined);
  t.is(await resolveId(store, readTrust(`${directory}/nobody`), "demo", tree(1), options), undefined);
  // A store that answers with another tree's voucher.
  await store.replace(`ids/demo/${tree(8)}`, await store.get(`ids/demo/${tree(1)}`));
  t.is(await resolveId(store, trust, "demo", tree(8), options), undefined);
});

test("a version cannot be named current", async (t) => {
  const { store, key } = await setUp(t);
  await t.throwsAsync(writeRef(store, makeRef({ version: "current" }), key), { code: "store-key" });
});

const sign = (payload: unknown, key: SigningKey, header = {}) =>
  new CompactSign(Buffer.from(JSON.stringify(payload)))
    .setProtectedHeader({ alg: "EdDSA", kid: key.id, typ: "xeno-ref", ...header })
    .sign(key.privateKey)
    .then((jws) => Buffer.from(jws));

const forgeries: [string, string, (key: SigningKey, stranger: SigningKey) => Promise<Buffer>][] = [
  ["by a key that nobody trusts", "ref-untrusted", (_, stranger) => signRef(makeRef(), stranger)],
  [
    "by a stranger under a trusted key's id",
    "ref-damaged",
    (key, stranger) => signRef(makeRef(), { ...stranger, id: key.id }),
  ],
  ["for another name", "ref-damaged", (key) => signRef(makeRef({ name: "nginx" }), key)],
  ["for another owner", "ref-damaged", (key) => signRef(makeRef({ owner: "templates" }), key)],
  ["for another version", "ref-damaged", (key) => signRef(makeRef({ version: "2" }), key)],
  ["as something else than a ref", "ref-damaged", (key) => sign({ format: 1, ...makeRef() }, key, { typ: "JWT" })],
  ["over a tree that is no hash", "ref-damaged", (key) => sign({ format: 1, ...makeRef({ tree: "../x" }) }, key)],
  ["without a time", "ref-damaged", (key) => sign({ format: 1, ...makeRef(), created: undefined }, key)],
  ["over no object", "ref-damaged", (key) => sign(null, key)],
  ["in a later format", "ref-too-new", (key) => sign({ ...makeRef(), format: 2 }, key)],
  ["not at all", "ref-damaged", async () => Buffer.from("nothing")],
  ["with nothing in it", "ref-damaged", async () => Buffer.alloc(0)],
  [
    "with alg none",
    "ref-damaged",
    async (key) => {
      const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
      return Buffer.from(
        `${part({ alg: "none", kid: key.id, typ: "xeno-ref" })}.${part({ format: 1, ...makeRef() })}.`,
      );
    },
  ],
  [
    "and then changed",
    "ref-damaged",
    async (key) => {
      const [header, , signature] = (await signRef(makeRef(), key)).toString().split(".");
      const payload = Buffer.from(JSON.stringify({ format: 1, ...makeRef({ tree: tree(9) }) })).toString("base64url");
      return Buffer.from([header, payload, signature].join("."));
    },
  ],
];

for (const [what, code, forge] of forgeries)
  test(`a ref signed ${what} is refused`, async (t) => {
    const { directory, key, resolve, plant } = await setUp(t);
    await plant("1", await forge(key, await createKey(directory, "stranger")));
    await t.throwsAsync(resolve("1"), { code, message: /demo\/apache@1/ });
  });

test("a ref that is too large is not read", async (t) => {
  const { resolve, plant } = await setUp(t);
  await plant("1", Buffer.alloc(100_000));
  await t.throwsAsync(resolve("1"), { code: "object-too-large" });
});

for (const [owner, name, version] of [
  ["../x", "a", "1"],
  ["demo", "a/../b", "1"],
  ["demo", "a//b", "1"],
  ["demo", "", "1"],
  ["demo", "a", ".."],
  ["demo", "a", ".hidden"],
  ["demo", "a b", "1"],
])
  test(`${owner} ${name} ${version} names no ref`, (t) => {
    t.throws(() => refKey(owner, name, version), { code: "store-key" });
  });
