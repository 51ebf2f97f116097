import fs from "node:fs/promises";
import path from "node:path";
import test, { type ExecutionContext } from "ava";
import { XenoError } from "../../../cowfs/errors.ts";
import type { Lender } from "../../../xenostore/pull/borrow-tree.ts";
import { listCachedFiles } from "../../../xenostore/pull/cache-files.ts";
import { evict } from "../../../xenostore/pull/evict.ts";
import { TreeLending } from "../../../xenostore/pull/lend-trees.ts";
import type { OpenedTree } from "../../../xenostore/pull/open-stored-tree.ts";
import { TreeCache, type TreeCacheOptions } from "../../../xenostore/pull/tree-cache.ts";
import { verifyCachedTree } from "../../../xenostore/pull/verify-cache.ts";
import type { ObjectStore } from "../../../xenostore/stores/object-store.ts";
import { fileCount, publishTrees, readFile, treeBytes } from "./published-trees.ts";

/** An owner, and a lender over it that counts what it is asked, and is away when it is told to be. */
async function setUp(t: ExecutionContext, options: Partial<TreeCacheOptions> = {}) {
  const published = await publishTrees(t, 1);
  const trees = path.join(published.directory, "cache");
  const counts = { packs: 0, brought: 0, isAway: false };
  const store: ObjectStore = Object.assign(Object.create(published.store), {
    get: (...[key, ...others]: Parameters<ObjectStore["get"]>) => {
      if (key.startsWith("packs/")) counts.packs++;
      return published.store.get(key, ...others);
    },
  });
  const owner = new TreeCache({ store, directory: trees, ...options });
  const lending = new TreeLending({ open: (stored) => owner.open(stored) });
  t.teardown(() => lending.close());
  const refuseWhileAway = () => {
    if (counts.isAway) throw new XenoError("server-unreachable", "the owner is away");
  };
  const lender: Lender = {
    async bring(...asked) {
      counts.brought++;
      refuseWhileAway();
      return await lending.bring(...asked);
    },
    async bringAhead(...asked) {
      refuseWhileAway();
      await lending.bringAhead(...asked);
    },
  };
  const borrow = async () => {
    const opened = await new TreeCache({ store, directory: trees, lender }).open(published.trees[0]);
    t.teardown(() => opened.close());
    return opened;
  };
  const check = async ({ tree }: OpenedTree) => {
    for (let file = 0; file < fileCount; file++)
      t.true((await readFile(tree, file)).equals(published.content(0, file)), `file ${file}`);
  };
  return { published, trees, owner, lending, counts, borrow, check, tree: published.trees[0] };
}

async function isRecorded(trees: string, tree: string): Promise<boolean> {
  const verified = await verifyCachedTree(trees, tree, AbortSignal.timeout(60_000));
  return verified?.bytes === treeBytes;
}

test("several borrowers read a tree at once that is fetched once, and with owner and store gone they read it still", async (t) => {
  const { borrow, check, counts, lending, trees, tree } = await setUp(t);
  const borrowers = await Promise.all([borrow(), borrow(), borrow()]);
  t.is(borrowers[0].residentBytes(), 0);
  await Promise.all(borrowers.map(check));
  const { packs } = counts;
  t.true(packs > 0);
  await lending.close();
  t.true(await isRecorded(trees, tree.tree));
  counts.isAway = true;
  await Promise.all(borrowers.map(check));
  const later = await borrow();
  t.is(later.residentBytes(), treeBytes);
  await check(later);
  t.is(counts.packs, packs, "each pack was asked for once");
});

test("what is brought ahead is found by a borrower that asks nobody", async (t) => {
  const { borrow, check, counts } = await setUp(t);
  const [asking, other] = await Promise.all([borrow(), borrow()]);
  const recorded = other.record();
  await asking.bringAhead({ signal: AbortSignal.timeout(60_000) });
  await check(other);
  t.is(counts.brought, 0);
  await check({ ...other, tree: recorded.tree });
  t.is(recorded.recording.readyBytes, treeBytes);
});

test("(C1) what a borrower has open is not evicted, also when nobody owns it any more; what it has closed is", async (t) => {
  const { borrow, check, counts, lending, trees, tree } = await setUp(t);
  const opened = await borrow();
  await check(opened);
  await lending.close();
  const { freedBytes, pinnedBytes } = await evict(trees, 0);
  t.is(freedBytes, 0);
  t.true(pinnedBytes >= treeBytes);
  t.like(await verifyCachedTree(trees, tree.tree, AbortSignal.timeout(60_000)), { isOpen: true });
  counts.isAway = true;
  await check(opened);
  await opened.close();
  t.true((await evict(trees, 0)).freedBytes >= treeBytes);
  t.deepEqual(await listCachedFiles(trees), []);
});

test("(R5) what finds no room in the owner's cache comes to the borrower's memory", async (t) => {
  const { borrow, check, owner } = await setUp(t, { maxBytes: treeBytes / 2 });
  const opened = await borrow();
  await check(opened);
  t.true(owner.counters.demandedBytes > 0);
  t.true(opened.residentBytes() < treeBytes);
  await check(opened);
});

test("(R1) a chunk that is damaged on the disk is not given out, and its owner fetches it again", async (t) => {
  const { borrow, check, counts, lending, trees, tree } = await setUp(t);
  const first = await borrow();
  await check(first);
  await Promise.all([first.close(), lending.close()]);
  t.true(await isRecorded(trees, tree.tree));
  const file = path.join(trees, tree.tree, "0000.space");
  const bytes = await fs.readFile(file);
  bytes[1000] ^= 1;
  await fs.writeFile(file, bytes);
  const { packs } = counts;
  await check(await borrow());
  t.true(counts.packs > packs);
  bytes[1000] ^= 1;
  t.true((await fs.readFile(file)).equals(bytes), "it is mended in its place");
});

test("(R6) what its owner has not recorded is looked at with each read", async (t) => {
  const { borrow, check, trees, tree } = await setUp(t);
  const opened = await borrow();
  await check(opened);
  const residency = path.join(trees, tree.tree, "residency");
  await fs.rename(residency, `${residency}.away`);
  // Who opens the tree now knows of no record. What the page cache lost is like this.
  const other = await borrow();
  await check(other);
  const file = path.join(trees, tree.tree, "0000.space");
  const bytes = await fs.readFile(file);
  await fs.writeFile(file, Buffer.concat([Buffer.alloc(100), bytes.subarray(100)]));
  await check(other);
  t.true((await fs.readFile(file)).equals(bytes), "its owner was asked, and found that it was gone");
});

test("an owner that is away is told as that, and asked again by the next read", async (t) => {
  const { borrow, check, counts } = await setUp(t);
  const opened = await borrow();
  counts.isAway = true;
  await t.throwsAsync(readFile(opened.tree, 0), { code: "server-unreachable" });
  counts.isAway = false;
  await check(opened);
});
