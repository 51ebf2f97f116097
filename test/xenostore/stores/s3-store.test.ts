/** A store in a bucket of a real Ceph RGW: see also ../services. */
import fs from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import path from "node:path";
import test, { type ExecutionContext } from "ava";
import type { XenoError } from "../../../cowfs/errors.ts";
import { checkStore } from "../../../xenostore/collect/check-store.ts";
import { sweepStore } from "../../../xenostore/collect/sweep.ts";
import { createKey } from "../../../xenostore/keys/key-ring.ts";
import { beginPublication } from "../../../xenostore/publish/publication.ts";
import { readCurrent, removeRef, writeRef } from "../../../xenostore/publish/write-ref.ts";
import { openStoredTree } from "../../../xenostore/pull/open-stored-tree.ts";
import { openStore } from "../../../xenostore/stores/open-store.ts";
import { makePatientPolicy } from "../../../xenostore/stores/remote/policy.ts";
import type { S3Store } from "../../../xenostore/stores/s3/s3-store.ts";
import { makeDirectory } from "../make-directory.ts";
import { addFiles, type Files, templateFiles } from "../publish/sample.ts";
import { type Fault, startFaultyProxy } from "../services/faulty-proxy.ts";
import { shareInFile } from "../services/for-file.ts";
import { startRadosGateway } from "../services/rados-gateway.ts";
import { testObjectStore } from "./conformance.ts";
import { impatient, testRemoteFaults } from "./fault-matrix.ts";

const gateway = shareInFile(test, async (t) => {
  const gateway = await startRadosGateway(t);
  Object.assign(process.env, gateway.credentials);
  return gateway;
});

const openBucket = async () => (await openStore(await gateway().makeBucket())) as S3Store;

testObjectStore("S3 on Ceph RGW", openBucket);

test("the probe says what Ceph's conditional writes are worth, and leaves nothing", async (t) => {
  const store = await openBucket();
  t.deepEqual(await store.conditions(), { create: "atomic", replace: "atomic", etags: "plain" });
  t.deepEqual(await store.list(""), []);
});

testRemoteFaults(test, "S3", async (t, key, bytes, policy) => {
  const { store, proxy, url } = await openBehindProxy(t, policy);
  await (await openStore(url)).replace(key, bytes);
  return { store, proxy };
});

async function openBehindProxy(t: ExecutionContext, policy = impatient) {
  const url = await gateway().makeBucket();
  const proxy = await startFaultyProxy(t, gateway().endpoint);
  const store = await openStore(url.replace(/endpoint=.*/, `endpoint=${proxy.endpoint}`), { policy });
  return { store: store as S3Store, proxy, url };
}

const isConditional = ({ headers }: IncomingMessage) => "if-none-match" in headers || "if-match" in headers;
const isPut = ({ method }: { method?: string }) => method === "PUT";

test("a write whose answer was lost counts as done, and does not lose against itself", async (t) => {
  const { store, proxy } = await openBehindProxy(t);
  t.true(await store.compareAndSet("refs/a", undefined, Buffer.from("one")));
  let lost = 0;
  // The gateway has done it when the answer's connection breaks.
  const loseOnce = () => {
    lost = 0;
    proxy.decide = (request) => (isPut(request) && lost++ === 0 ? { kind: "lose" } : undefined);
  };
  loseOnce();
  t.true(await store.compareAndSet("refs/a", Buffer.from("one"), Buffer.from("two")));
  t.is(lost, 2);
  loseOnce();
  t.is(await store.putIfAbsent("packs/x", Buffer.from("x")), "stored");
  t.false(await store.compareAndSet("refs/a", Buffer.from("one"), Buffer.from("three")));
  t.is((await store.get("refs/a")).toString(), "two");
});

test("a conditional write that met another one, of which Ceph says UnknownError, is asked again at once and nobody is told", async (t) => {
  const told: string[] = [];
  const { store, proxy } = await openBehindProxy(t, { ...impatient, onWait: ({ message }) => told.push(message) });
  t.true(await store.compareAndSet("refs/a", undefined, Buffer.from("one")));
  const answerOnce = () => {
    let answered = false;
    proxy.decide = (request) => {
      if (!isConditional(request) || answered) return undefined;
      answered = true;
      return answer(500, "UnknownError");
    };
  };
  answerOnce();
  t.true(await store.compareAndSet("refs/a", Buffer.from("one"), Buffer.from("two")));
  answerOnce();
  t.is(await store.putIfAbsent("refs/a", Buffer.from("three")), "present");
  // Really met: all but one lose, and say so.
  proxy.decide = () => undefined;
  const racers = ["3", "4", "5", "6"].map((next) =>
    store.compareAndSet("refs/a", Buffer.from("two"), Buffer.from(next)),
  );
  t.is((await Promise.all(racers)).filter(Boolean).length, 1);
  t.deepEqual(told, []);
});

const answer = (status: number, code: string): Fault => ({
  kind: "status",
  status,
  body: `<?xml version="1.0"?><Error><Code>${code}</Code><Message>m</Message></Error>`,
});

for (const [fault, code, hint] of [
  [answer(400, "ExpiredToken"), "store-credentials", /Renew/],
  [answer(403, "InvalidAccessKeyId"), "store-credentials", /key/],
  [answer(403, "RequestTimeTooSkewed"), "store-credentials", /clock/],
  [answer(403, "QuotaExceeded"), "store-full", /quota/],
  [answer(503, "SlowDown"), "store-throttled", /again/],
  [answer(404, "NoSuchBucket"), "store-unavailable", /bucket/],
  [answer(507, "InsufficientStorage"), "store-full", /room/],
] as const)
  test(`S3: ${(fault as { body: string }).body.replace(/.*<Code>(.*)<\/Code>.*/, "$1")} is ${code}, with what to do`, async (t) => {
    const { store, proxy } = await openBehindProxy(t);
    await store.conditions();
    proxy.decide = () => fault;
    const error = await t.throwsAsync<XenoError>(store.putIfAbsent("packs/x", Buffer.from("x")), { code });
    t.regex(error?.hint ?? "", hint);
  });

test("credentials that expired and were replaced in their file are taken up without a restart", async (t) => {
  const url = await gateway().makeBucket();
  const file = path.join(await makeDirectory(t), "credentials");
  const { AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret } = gateway().credentials;
  const write = (secret: string) =>
    fs.writeFile(file, `[store]\naws_access_key_id = ${id}\naws_secret_access_key = ${secret}\n`);
  process.env.AWS_SHARED_CREDENTIALS_FILE = file;
  await write("wrong");
  const store = await openStore(`${url}&profile=store`, { policy: impatient });
  const error = await t.throwsAsync(store.stat("packs/x"), { code: "store-credentials" });
  t.notRegex(`${error}`, new RegExp(secret));
  await write(secret);
  t.is(await store.stat("packs/x"), undefined);
});

for (const [what, change] of [
  [
    "ignores conditions",
    (request: IncomingMessage): Fault | undefined =>
      isConditional(request) ? { kind: "status", status: 200, headers: { etag: `"${"0".repeat(32)}"` } } : undefined,
  ],
  [
    "does not know conditions",
    (request: IncomingMessage) => (isConditional(request) ? answer(501, "NotImplemented") : undefined),
  ],
] as const)
  test(`an endpoint that ${what} can be read, and is refused for publishing`, async (t) => {
    const { store, proxy } = await openBehindProxy(t);
    await store.replace("packs/x", Buffer.from("x"));
    proxy.decide = change;
    const refusal = { code: "store-unsafe", message: /keep two publishers apart/ };
    await t.throwsAsync(store.putIfAbsent("packs/y", Buffer.from("y")), refusal);
    await t.throwsAsync(store.compareAndSet("refs/y", undefined, Buffer.from("y")), refusal);
    t.is((await store.get("packs/x")).toString(), "x");
    t.deepEqual(await store.list(""), ["packs/x"]);
  });

test("of two publishers that race for a name in a bucket one wins, and the other is told", async (t) => {
  const store = await openBucket();
  const key = await createKey(path.join(await makeDirectory(t), "keys"), "demo");
  const replaces = await readCurrent(store, { owner: "demo", name: "app" }, key);
  const ref = { owner: "demo", name: "app", layout: "2".repeat(64), base: [], created: 1 };
  const results = await Promise.allSettled(
    ["1", "3"].map((version) => writeRef(store, { ...ref, version, tree: version.repeat(64) }, key, { replaces })),
  );
  const lost = results.filter((result) => result.status === "rejected");
  t.is(lost.length, 1);
  t.is(lost[0].reason.code, "name-moved");
});

test("a publication waits for a store that is gone for as long as its patience, and one that gave up is taken up again", async (t) => {
  const key = await createKey(path.join(await makeDirectory(t), "keys"), "demo");
  // Minutes, with the clock a thousand times as fast.
  const { firstDelayMs, maxDelayMs, ...others } = makePatientPolicy(600_000);
  const faster = { ...others, firstDelayMs: firstDelayMs / 50, maxDelayMs: maxDelayMs / 50 };
  const publish = async (store: S3Store) => {
    const publication = await beginPublication(store);
    const root = await addFiles(publication, { ...templateFiles });
    return await publication.commit(root, { owner: "demo", name: "app", version: "1", key });
  };
  const waited: string[] = [];
  const policy = { ...faster, onWait: ({ message }: Error) => waited.push(message) };
  const { store, proxy } = await openBehindProxy(t, policy);
  let refused = 0;
  // From its first pack on.
  proxy.decide = ({ url = "" }) => {
    if (refused === 0 && !url.includes("/packs/")) return undefined;
    return refused++ < 30 ? { kind: "reset" } : undefined;
  };
  await publish(store);
  t.true(refused > 30 && waited.length >= 30);
  t.deepEqual((await checkStore(store)).problems, []);

  const other = await openBehindProxy(t, { ...faster, maxAttempts: 3 });
  let isGone = false;
  other.proxy.decide = ({ url = "" }) => {
    isGone ||= url.includes("/trees/");
    return isGone ? { kind: "reset" } : undefined;
  };
  await t.throwsAsync(publish(other.store), { code: "store-unavailable" });
  const direct = (await openStore(other.url)) as S3Store;
  const packs = await direct.list("packs");
  const { sentBytes } = await publish(direct);
  t.deepEqual(await direct.list("packs"), packs);
  t.true(sentBytes < 100_000, "its packs are there");
});

test("a tree is published to a bucket and read from it; a sweep and a check go over it", async (t) => {
  const store = await openBucket();
  const directory = await makeDirectory(t);
  const key = await createKey(path.join(directory, "keys"), "demo");
  const publish = async (files: Files, version: string) => {
    const publication = await beginPublication(store);
    return await publication.commit(await addFiles(publication, files), { owner: "demo", name: "app", version, key });
  };
  const { treeId: tree, layoutId: layout } = await publish(templateFiles, "1");
  t.is((await publish(templateFiles, "1")).sentBytes, 0, "the same content is sent once");
  const opened = await openStoredTree(store, { tree, layout }, path.join(directory, "cache"));
  await opened.bringAhead({ signal: AbortSignal.timeout(60_000) });
  await opened.close();
  await publish({ other: Buffer.from("other") }, "2");
  await removeRef(store, { owner: "demo", name: "app", version: "2" });
  t.is((await sweepStore(store, { graceMs: 0 })).state, "condemned");
  t.like(await sweepStore(store, { graceMs: 0 }), { state: "deleted", objects: 4 });
  t.deepEqual((await checkStore(store)).problems, []);
});
