import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs/promises";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import test, { type ExecutionContext } from "ava";
import { execa } from "execa";
import { listCachedFiles } from "../../../xenostore/pull/cache-files.ts";
import { evict } from "../../../xenostore/pull/evict.ts";
import { defaultRetryPolicy } from "../../../xenostore/pull/retry.ts";
import { TreeCache, type TreeCacheOptions } from "../../../xenostore/pull/tree-cache.ts";
import { verifyCachedTree } from "../../../xenostore/pull/verify-cache.ts";
import type { ObjectStore } from "../../../xenostore/stores/object-store.ts";
import { fileCount, type PublishedTrees, publishTrees, readFile, treeBytes } from "./published-trees.ts";

const forever = new AbortController().signal;

/** Counts the packs' bytes that are asked for. */
function countPacks(store: ObjectStore): ObjectStore & { packBytes: number } {
  const counting: ObjectStore & { packBytes: number } = Object.assign(Object.create(store), {
    packBytes: 0,
    get: async (...[key, options]: Parameters<ObjectStore["get"]>) => {
      const bytes = await store.get(key, options);
      if (key.startsWith("packs/")) counting.packBytes += bytes.length;
      return bytes;
    },
  });
  return counting;
}

function setUp({ directory, store }: PublishedTrees, options: Partial<TreeCacheOptions> = {}) {
  const counted = countPacks(store);
  const trees = path.join(directory, "cache");
  return { trees, store: counted, cache: new TreeCache({ store: counted, directory: trees, ...options }) };
}

async function checkTree(
  t: ExecutionContext,
  { content }: PublishedTrees,
  cache: TreeCache,
  stored: PublishedTrees["trees"],
  tree: number,
) {
  const opened = await cache.open(stored[tree]);
  try {
    for (let file = 0; file < fileCount; file++)
      t.true((await readFile(opened.tree, file)).equals(content(tree, file)), `tree ${tree}, file ${file}`);
  } finally {
    await opened.close();
  }
}

async function sumBytes(trees: string): Promise<number> {
  return (await listCachedFiles(trees)).reduce((sum, { bytes }) => sum + bytes, 0);
}

test("(C2) what was used longest ago is evicted first, whole files of content before what describes it", async (t) => {
  const published = await publishTrees(t, 3);
  const { cache, trees } = setUp(published);
  for (const tree of [0, 1, 2]) await checkTree(t, published, cache, published.trees, tree);
  const ages = [20, 5, 10];
  for (const [tree, seconds] of ages.entries())
    for (const { file } of (await listCachedFiles(trees)).filter(
      (cached) => cached.tree === published.trees[tree].tree,
    ))
      await fs.utimes(file, Date.now() / 1000 - seconds, Date.now() / 1000 - seconds);
  const contentLeft = async () =>
    (await listCachedFiles(trees))
      .filter(({ isContent }) => isContent)
      .map(({ tree }) => published.trees.findIndex((stored) => stored.tree === tree));
  for (const left of [[1, 2], [1], []]) {
    const { freedBytes } = await evict(trees, (await sumBytes(trees)) - 1);
    t.true(freedBytes >= treeBytes);
    t.deepEqual((await contentLeft()).sort(), left);
  }
  t.true((await sumBytes(trees)) > 0, "indexes are left");
  await evict(trees, 0);
  t.is(await sumBytes(trees), 0);
  await checkTree(t, published, cache, published.trees, 0);
});

test("(C1) a cache keeps to its size; what somebody has open stays, and what finds no room is served all the same", async (t) => {
  const published = await publishTrees(t, 3);
  const maxBytes = 2 * treeBytes + 300_000;
  const { cache, trees, store } = setUp(published, { maxBytes });
  await checkTree(t, published, cache, published.trees, 0);
  const held = await cache.open(published.trees[1]);
  for (let file = 0; file < fileCount; file++) await readFile(held.tree, file);
  await checkTree(t, published, cache, published.trees, 2);
  t.true((await sumBytes(trees)) <= maxBytes);
  const before = store.packBytes;
  await checkTree(t, published, cache, published.trees, 1);
  t.is(store.packBytes, before, "the tree that is open is here");
  const other = await cache.open(published.trees[2]);
  for (let file = 0; file < fileCount; file++) await readFile(other.tree, file);
  await checkTree(t, published, cache, published.trees, 0);
  await checkTree(t, published, cache, published.trees, 0);
  const third = await cache.open(published.trees[0]);
  await t.throwsAsync(third.bringAhead({ signal: forever }), { code: "cache-full" });
  await Promise.all([third.close(), other.close()]);
  t.true((await sumBytes(trees)) <= maxBytes);
  await held.close();
});

test("chunks that another tree has here are copied, not fetched, also when nobody has that tree open", async (t) => {
  const shared = fileCount - 1;
  const published = await publishTrees(t, 2, shared);
  const { cache, trees, store } = setUp(published);
  await checkTree(t, published, cache, published.trees, 0);
  const before = store.packBytes;
  await checkTree(t, published, cache, published.trees, 1);
  t.true(store.packBytes - before < treeBytes / 4, "only what is new comes from the store");
  t.true(cache.counters.copiedBytes > treeBytes / 2);
  // Of a third cache life, with the first tree damaged on the disk: what is wrong there is fetched.
  await fs.rm(path.join(trees, published.trees[1].tree), { recursive: true });
  for (const { file, isContent } of await listCachedFiles(trees))
    if (isContent) await fs.writeFile(file, Buffer.alloc(treeBytes, 7));
  await checkTree(t, published, setUp(published).cache, published.trees, 1);
});

test("(R5) on a full disk all is served, at first from memory; once there is room it is kept", async (t) => {
  const published = await publishTrees(t, 1);
  const disk = path.join(published.directory, "disk");
  await fs.mkdir(disk);
  await execa("mount", ["-t", "tmpfs", "-o", "size=600k", "tmpfs", disk]);
  t.teardown(() => execa("umount", ["--lazy", disk]));
  const cache = new TreeCache({ store: published.store, directory: path.join(disk, "trees") });
  const opened = await cache.open(published.trees[0]);
  for (const _ of [1, 2])
    for (let file = 0; file < fileCount; file++)
      t.true((await readFile(opened.tree, file)).equals(published.content(0, file)), `file ${file}`);
  t.true(opened.residentBytes() < treeBytes, "not all of it found room");
  await opened.close();
  await execa("mount", ["-o", "remount,size=16m", disk]);
  const again = await cache.open(published.trees[0]);
  await again.bringAhead({ signal: forever });
  t.is(again.residentBytes(), treeBytes);
  await again.close();
});

test("what is cached is served in later lives without asking the store for anything", async (t) => {
  const published = await publishTrees(t, 1);
  await checkTree(t, published, setUp(published).cache, published.trees, 0);
  const nobody = new Proxy(published.store, {
    get: (_, name) => () => {
      throw new Error(`the store was asked: ${String(name)}`);
    },
  });
  const offline = new TreeCache({
    store: nobody,
    directory: path.join(published.directory, "cache"),
    retries: { ...defaultRetryPolicy, patienceMs: 0 },
  });
  await checkTree(t, published, offline, published.trees, 0);
});

test("verifying finds what is damaged, takes it back, and leaves what is open to those who have it open", async (t) => {
  const published = await publishTrees(t, 1);
  const { cache, trees } = setUp(published);
  const [{ tree }] = published.trees;
  await checkTree(t, published, cache, published.trees, 0);
  const verify = async () => (await verifyCachedTree(trees, tree, forever))!;
  const whole = await verify();
  t.like(whole, { bytes: treeBytes, damagedChunks: 0, isIndexDamaged: false, isOpen: false });
  const file = path.join(trees, tree, "0000.space");
  const bytes = await fs.readFile(file);
  bytes[1000] ^= 1;
  await fs.writeFile(file, bytes);
  const opened = await cache.open(published.trees[0]);
  t.like(await verify(), { damagedChunks: 1, isOpen: true });
  t.like(await verify(), { damagedChunks: 1, isOpen: true });
  await opened.close();
  t.like(await verify(), { damagedChunks: 1, isOpen: false });
  t.like(await verify(), { damagedChunks: 0, chunks: whole.chunks - 1 });
  await checkTree(t, published, cache, published.trees, 0);
  t.like(await verify(), { bytes: treeBytes, damagedChunks: 0 });
  await fs.truncate(path.join(trees, tree, "index"), 100);
  t.true((await verify()).isIndexDamaged);
  await checkTree(t, published, cache, published.trees, 0);
  t.is(await verifyCachedTree(trees, "ab".repeat(32), forever), undefined);
});

test("(C3) a cache whose process is killed at any moment, while it pulls, copies and evicts, serves right bytes afterwards", async (t) => {
  const published = await publishTrees(t, 4, 3);
  const trees = path.join(published.directory, "cache");
  const maxBytes = 2 * treeBytes;
  const program = path.join(import.meta.dirname, "churn.ts");
  for (const killAfterMs of [0, 40, 120, 300, 700]) {
    const args = [
      program,
      path.join(published.directory, "store"),
      trees,
      String(maxBytes),
      JSON.stringify(published.trees),
    ];
    const child = spawn(process.execPath, ["--no-warnings", ...args], { stdio: ["ignore", "pipe", "inherit"] });
    t.teardown(() => child.kill("SIGKILL"));
    await once(child.stdout!, "data");
    await delay(killAfterMs);
    await kill(child);
    const cache = new TreeCache({ store: published.store, directory: trees, maxBytes });
    const tree = killAfterMs % published.trees.length;
    await checkTree(t, published, cache, published.trees, tree);
  }
  const cache = new TreeCache({ store: published.store, directory: trees, maxBytes });
  for (const tree of [0, 1, 2, 3]) await checkTree(t, published, cache, published.trees, tree);
  t.true((await sumBytes(trees)) <= maxBytes);
});

async function kill(child: ChildProcess): Promise<void> {
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}
