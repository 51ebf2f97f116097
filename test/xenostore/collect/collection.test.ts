import fs from "node:fs/promises";
import path from "node:path";
import test, { type ExecutionContext } from "ava";
import { checkStore } from "../../../xenostore/collect/check-store.ts";
import { condemnedKey } from "../../../xenostore/collect/condemned.ts";
import { Lease, leaseTermMs } from "../../../xenostore/collect/lease.ts";
import { writePin } from "../../../xenostore/collect/pin.ts";
import { type SweepOptions, sweepStore } from "../../../xenostore/collect/sweep.ts";
import { createKey } from "../../../xenostore/keys/key-ring.ts";
import { beginPublication, type CommitOptions } from "../../../xenostore/publish/publication.ts";
import { removeRef } from "../../../xenostore/publish/write-ref.ts";
import { openDirectoryStore } from "../../../xenostore/stores/directory-store.ts";
import { changeStore } from "../change-store.ts";
import { makeDirectory } from "../make-directory.ts";
import { addFiles, type Files, makeBytes } from "../publish/sample.ts";

const hour = 3_600_000;

async function setUp(t: ExecutionContext) {
  const directory = await makeDirectory(t);
  const store = await openDirectoryStore(path.join(directory, "store"));
  const key = await createKey(path.join(directory, "keys"), "publisher");
  const clock = { now: Date.now() };
  const publish = async (
    version: string,
    files: Files,
    options: Partial<CommitOptions> = {},
    ancestors: string[] = [],
  ) => {
    const publication = await beginPublication(store, { ancestors });
    return await publication.commit(await addFiles(publication, files), {
      ...{ owner: "demo", name: "app", version, key },
      ...options,
    });
  };
  const sweep = (options: SweepOptions = {}) => sweepStore(store, { graceMs: hour, now: () => clock.now, ...options });
  const remove = (version: string) => removeRef(store, { owner: "demo", name: "app", version });
  /** All keys but the sweep's own record. */
  const keys = async () => (await store.list("")).filter((key) => key !== condemnedKey);
  return { store, clock, publish, sweep, remove, keys, root: path.join(directory, "store") };
}

const filesOf = (seed: string): Files => ({ one: makeBytes(100_000, seed), two: makeBytes(30_000, `${seed} two`) });

test("what no ref names is condemned, kept for a grace, and then deleted", async (t) => {
  const { store, publish, sweep, remove, keys, clock } = await setUp(t);
  await publish("1", filesOf("one"));
  const kept = await keys();
  await publish("2", filesOf("two"));
  t.is((await sweep()).state, "clean");
  await remove("2");
  const dry = await sweep({ dryRun: true });
  t.is(dry.state, "condemned");
  let bytes = 0;
  for (const key of dry.keys) {
    const found = await store.stat(key);
    bytes += found!.bytes;
  }
  t.is(dry.bytes, bytes);
  t.is((await sweep()).objects, dry.objects);
  clock.now += hour - 1;
  t.like(await sweep(), { state: "waiting", objects: dry.objects });
  clock.now += 1;
  const before = await keys();
  t.like(await sweep({ dryRun: true }), { state: "deleted", objects: dry.objects, bytes: dry.bytes });
  t.deepEqual(await keys(), before, "a dry run deletes nothing");
  t.like(await sweep(), { state: "deleted", objects: dry.objects, bytes: dry.bytes });
  t.deepEqual(await keys(), kept, "`current` is a mark now");
  t.deepEqual((await checkStore(store)).problems, []);
  t.is((await sweep()).state, "clean");
});

test("packs that several trees share stay while one of them is named", async (t) => {
  const { store, publish, sweep, remove, clock } = await setUp(t);
  const first = await publish("1", filesOf("one"));
  await publish("2", { ...filesOf("one"), more: makeBytes(50_000, "more") }, {}, [first.layoutId]);
  await remove("1");
  await sweep();
  clock.now += hour;
  t.is((await sweep()).objects, 3, "index, pack map and voucher of the first");
  t.is((await store.list("packs")).length, 2);
});

test("what a tree lies over is kept with it", async (t) => {
  const { publish, sweep, remove } = await setUp(t);
  const base = await publish("1", filesOf("one"));
  await publish("2", filesOf("two"), { base: [{ tree: base.treeId, layout: base.layoutId }] });
  await remove("1");
  t.is((await sweep()).state, "clean");
});

test("what a published tree needs besides is kept with it, also where it was condemned when that was published", async (t) => {
  const { store, publish, sweep, remove, clock } = await setUp(t);
  const base = await publish("1", filesOf("one"));
  const overlay = await publish("2", filesOf("two"), { base: [{ tree: base.treeId, layout: base.layoutId }] });
  for (const version of ["1", "2"]) await remove(version);
  t.is((await sweep()).state, "condemned");
  const keeps = [base, overlay].map(({ treeId, layoutId }) => ({ tree: treeId, layout: layoutId }));
  await publish("3", filesOf("three"), { keeps });
  clock.now += hour;
  t.like(await sweep(), { state: "deleted", objects: 0 });
  t.is((await sweep()).state, "clean");
  t.is((await checkStore(store)).problems.length, 0);
  await remove("3");
  await sweep();
  clock.now += hour;
  t.is((await sweep()).state, "deleted");
  t.deepEqual(await store.list("packs"), []);
  await t.throwsAsync(publish("4", filesOf("three"), { keeps }), { code: "object-missing" });
});

test("a server's pin keeps a tree that no ref names, with what it lies over, until the pin goes", async (t) => {
  const { store, publish, sweep, remove, clock } = await setUp(t);
  const base = await publish("1", filesOf("one"));
  const { treeId } = await publish("2", filesOf("two"), { base: [{ tree: base.treeId, layout: base.layoutId }] });
  const pin = (trees: string[]) => writePin(store, "a-1", { host: "a", written: 0, trees });
  await remove("1");
  await remove("2");
  await sweep();
  // It comes late: what is condemned already is taken off the list.
  await pin([treeId]);
  clock.now += hour;
  t.like(await sweep(), { state: "deleted", objects: 0 });
  t.is((await sweep()).state, "clean");
  await pin([]);
  t.deepEqual(await store.list("pins"), []);
  t.is((await sweep()).state, "condemned");
});

test("a publisher's lease keeps what it relies on until it expired, and the clocks' difference passed", async (t) => {
  const { store, publish, sweep, remove, clock } = await setUp(t);
  await publish("1", filesOf("one"));
  await remove("1");
  const lease = new Lease(store, { now: () => clock.now });
  await lease.protect([...(await store.list("packs")), ...(await store.list("trees"))]);
  t.is((await sweep({ dryRun: true })).objects, 2, "pack map and voucher");
  clock.now += leaseTermMs;
  t.is((await sweep({ dryRun: true })).objects, 2);
  t.true(lease.isLapsed);
  clock.now += hour;
  t.is((await sweep()).objects, 4);
  t.deepEqual(await store.list("leases"), []);
});

test("a sweeper that was killed while it deleted is followed by one that finishes, after a time", async (t) => {
  const { store, publish, sweep, remove, clock } = await setUp(t);
  await publish("1", filesOf("one"));
  await remove("1");
  const { objects } = await sweep();
  clock.now += hour;
  let left = 2;
  const killed = changeStore(store, {
    delete: async (key) => {
      if (left-- <= 0) throw new Error("killed");
      await store.delete(key);
    },
  });
  await t.throwsAsync(sweepStore(killed, { graceMs: hour, now: () => clock.now }), { message: "killed" });
  t.is((await sweep()).state, "deleting");
  clock.now += hour;
  t.like(await sweep(), { state: "deleted", objects });
  t.deepEqual(
    (await store.list("")).filter((key) => key !== condemnedKey),
    ["refs/demo/app/current"],
  );
  t.is((await sweep()).state, "clean");
});

for (const [what, key] of [
  ["ref", "refs/demo/app/1"],
  ["pin", "pins/x"],
  ["lease", "leases/x"],
] as const)
  test(`a ${what} that cannot be understood stops the sweep: it may need anything`, async (t) => {
    const { store, publish, sweep, clock } = await setUp(t);
    await publish("1", filesOf("one"));
    await store.replace(key, Buffer.from('{"format":99}'));
    await t.throwsAsync(sweep(), { code: "collection-unsafe", message: new RegExp(key) });
    clock.now += hour;
    await t.throwsAsync(sweep(), { code: "collection-unsafe" });
  });

test("a pack map that is damaged stops the sweep: its packs are not known", async (t) => {
  const { store, publish, sweep, root } = await setUp(t);
  await publish("1", filesOf("one"));
  const [layout] = await store.list("layouts");
  await fs.truncate(path.join(root, layout), 40);
  await t.throwsAsync(sweep(), { code: "object-damaged" });
});
