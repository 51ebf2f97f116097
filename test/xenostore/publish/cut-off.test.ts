/**
 * A publisher that is cut off at each of its requests, before or after the store did what it asked; and one whose store is full from
 * each of its writes on. Whatever the step: names mean what they meant or the new tree whole, the next run ends as if nothing had
 * been, sends nothing twice, and in the end nothing is left that a sweep would have to take.
 */
import { fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import fs from "node:fs/promises";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import test, { type ExecutionContext } from "ava";
import { XenoError } from "../../../cowfs/errors.ts";
import { checkStore } from "../../../xenostore/collect/check-store.ts";
import { clockSkewMs, leaseTermMs } from "../../../xenostore/collect/lease.ts";
import { sweepStore } from "../../../xenostore/collect/sweep.ts";
import { createKey, readTrust, type SigningKey, trustKey } from "../../../xenostore/keys/key-ring.ts";
import { beginPublication, type Published } from "../../../xenostore/publish/publication.ts";
import { resolveRef } from "../../../xenostore/pull/resolve-ref.ts";
import { openDirectoryStore } from "../../../xenostore/stores/directory-store.ts";
import type { ObjectStore } from "../../../xenostore/stores/object-store.ts";
import { makeDirectory } from "../make-directory.ts";
import { createMemoryStore } from "../memory-store.ts";
import { addFiles, type Files, makeBytes } from "./sample.ts";

const before: Files = { kept: makeBytes(40_000, "kept"), other: makeBytes(3000, "other") };
const after: Files = { ...before, more: makeBytes(90_000, "more"), other: makeBytes(3000, "another") };
const writes = ["putIfAbsent", "replace", "compareAndSet"];

async function publish(store: ObjectStore, key: SigningKey, version: string, files: Files, ancestors: string[] = []) {
  const publication = await beginPublication(store, { ancestors });
  const root = await addFiles(publication, files);
  return await publication.commit(root, { owner: "demo", name: "app", version, key });
}

/** The store, with each request through `pass`, which is told of its number. */
function count(store: ObjectStore, pass: (number: number, what: string, act: () => unknown) => Promise<unknown>) {
  let requests = 0;
  const act = (what: string) => (target: object, args: unknown[]) =>
    pass(requests++, what, () => Reflect.apply(target as never, store, args));
  return new Proxy(store, {
    get: (target, property) => {
      const value = Reflect.get(target, property);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => act(String(property))(value, args);
    },
  });
}

async function setUp(t: ExecutionContext) {
  const directory = path.join(await makeDirectory(t), "keys");
  const key = await createKey(directory, "publisher");
  await trustKey(directory, "demo", key.publicKey);
  const trust = readTrust(directory);
  const whole = createMemoryStore();
  const first = await publish(whole.store, key, "1", before);
  const second = await publish(whole.store, key, "2", after, [first.layoutId]);
  const resolve = async (store: ObjectStore) => (await resolveRef(store, trust, "demo", "app", "current")).tree;
  return { key, first, second, resolve, keys: await whole.store.list("") };
}

/** The next run, in the same store: it ends as an undisturbed one would have, and sends no pack that was there. */
async function expectResumed(
  t: ExecutionContext,
  what: string,
  { store, objects }: ReturnType<typeof createMemoryStore>,
  { key, first, second, resolve, keys }: Awaited<ReturnType<typeof setUp>>,
): Promise<void> {
  t.true([first.treeId, second.treeId].includes(await resolve(store)), what);
  t.deepEqual((await checkStore(store)).problems, [], what);
  const packs = (await store.list("packs")).reduce((sum, pack) => sum + objects.get(pack)!.length, 0);
  const again = await publish(store, key, "2", after, [first.layoutId]);
  t.is(again.treeId, second.treeId, what);
  const allPacks = (await store.list("packs")).reduce((sum, pack) => sum + objects.get(pack)!.length, 0);
  t.true(again.sentBytes - (allPacks - packs) < 2000, `${what}: ${again.sentBytes} bytes sent`);
  t.is(await resolve(store), second.treeId, what);
  const now = () => Date.now() + leaseTermMs + clockSkewMs + 1000;
  t.is((await sweepStore(store, { graceMs: 0, now })).state, "clean", what);
  t.deepEqual(await store.list(""), keys, what);
}

for (const isDone of [false, true])
  test(`a publisher that is killed ${isDone ? "after" : "before"} each of its requests`, async (t) => {
    const setting = await setUp(t);
    for (let last = 0; ; last++) {
      const memory = createMemoryStore();
      const { layoutId } = await publish(memory.store, setting.key, "1", before);
      let isKilled = false;
      const dying = count(memory.store, async (number, what, act) => {
        if (number > last || (number === last && !isDone)) isKilled = true;
        else if (number < last) return await act();
        else await act();
        isKilled = true;
        throw new Error(`killed in ${what}`);
      });
      await publish(dying, setting.key, "2", after, [layoutId]).catch((error) => {
        if (!/^killed/.test(error.message)) throw error;
      });
      await expectResumed(t, `request ${last}`, memory, setting);
      if (!isKilled) return void t.true(last > 10);
    }
  });

test("a store that is full from each write on: the publisher is told, leaves nothing under way, and goes on once there is room", async (t) => {
  const setting = await setUp(t);
  for (let fits = 0; ; fits++) {
    const memory = createMemoryStore();
    const { layoutId } = await publish(memory.store, setting.key, "1", before);
    let written = 0;
    const full = count(memory.store, async (_, what, act) => {
      if (writes.includes(what) && written++ >= fits) throw new XenoError("store-full", "no room");
      return await act();
    });
    const failed = await publish(full, setting.key, "2", after, [layoutId]).then(
      () => undefined,
      (error) => error.code,
    );
    if (failed !== undefined) t.is(failed, "store-full", `after ${fits} writes`);
    await expectResumed(t, `after ${fits} writes`, memory, setting);
    if (failed === undefined) return void t.true(fits > 5);
  }
});

test("what is told to be sent is what came to lie in the store, though packs are sent at the same time", async (t) => {
  const { key } = await setUp(t);
  const { store, objects } = createMemoryStore();
  const slow = count(store, async (_, what, act) => {
    if (what === "putIfAbsent") await delay(50);
    return await act();
  });
  const { sentBytes } = await publish(slow, key, "1", { large: randomBytes(56 * 2 ** 20) });
  const isContent = (name: string) => /^(packs|layouts|trees)\//.test(name);
  const stored = [...objects].filter(([name]) => isContent(name)).reduce((sum, [, bytes]) => sum + bytes.length, 0);
  t.is(sentBytes, stored);
});

for (const step of ["packs/", "refs/demo/app/current"])
  test(`a publishing process that gets SIGKILL while it writes ${step} is followed by one that ends it`, async (t) => {
    const directory = await makeDirectory(t);
    const keys = path.join(directory, "keys");
    const key = await createKey(keys, "publisher");
    await trustKey(keys, "demo", key.publicKey);
    const root = path.join(directory, "store");
    const program = new URL("dying-publisher.ts", import.meta.url);
    const run = async (killedAt: string) => {
      const child = fork(program, [root, keys, killedAt], { execArgv: ["--no-warnings"], stdio: "inherit" });
      t.teardown(() => child.kill("SIGKILL"));
      const told: Published[] = [];
      child.on("message", (published) => told.push(published as Published));
      const [code, signal] = await once(child, "exit");
      return { code, signal, published: told[0] };
    };
    t.is((await run(step)).signal, "SIGKILL");
    const store = await openDirectoryStore(root);
    t.deepEqual((await checkStore(store)).problems, []);
    await t.throwsAsync(resolveRef(store, readTrust(keys), "demo", "app", "current"), { code: "ref-missing" });
    const there = (await store.list("packs")).length;
    const { code, published } = await run("");
    t.is(code, 0);
    t.is((await resolveRef(store, readTrust(keys), "demo", "app", "current")).tree, published.treeId);
    t.is(published.sentBytes > 100_000, there === 0, "packs that were there are not sent again");
    t.deepEqual((await checkStore(store)).problems, []);
    // What it was writing has no name, and goes when it is a day old.
    const leftovers = await fs.readdir(path.join(root, "tmp"));
    t.true(leftovers.length <= 2);
  });
