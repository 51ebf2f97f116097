import path from "node:path";
import test, { type ExecutionContext } from "ava";
import { runWithFaults } from "../../../cowfs/fault.ts";
import { createDirectoryNode, createFileNode } from "../../../cowfs/trees/node.ts";
import { checkStore } from "../../../xenostore/collect/check-store.ts";
import { sweepStore } from "../../../xenostore/collect/sweep.ts";
import { createKey, type SigningKey } from "../../../xenostore/keys/key-ring.ts";
import { layOutTrace } from "../../../xenostore/publish/lay-out-trace.ts";
import { beginPublication } from "../../../xenostore/publish/publication.ts";
import { readCurrent } from "../../../xenostore/publish/write-ref.ts";
import { openStoredTree } from "../../../xenostore/pull/open-stored-tree.ts";
import type { StoredTree } from "../../../xenostore/refs/ref.ts";
import type { ObjectStore } from "../../../xenostore/stores/object-store.ts";
import { encodeTrace, traceKey } from "../../../xenostore/traces/boot-trace.ts";
import { changeStore } from "../change-store.ts";
import { makeDirectory } from "../make-directory.ts";
import { createMemoryStore } from "../memory-store.ts";
import { makeBytes } from "./sample.ts";

/** Each is one chunk, and two of them a frame: what is read lies far apart. */
const fileCount = 60;
const fileBytes = 64 * 1024;
const read = [41, 3, 29, 17, 53, 9];
const readLater = [7, 19, 33, 47];

/** Made once: hashing a few megabytes in pieces takes longer than all that is tested. */
const contents = Array.from({ length: fileCount }, (_, file) => makeBytes(fileBytes, `${file}`));

const name = { owner: "templates", name: "Debian/12" };

/** `turn` comes before each request to the store. */
async function setUp(t: ExecutionContext, turn: () => void = () => {}) {
  const directory = await makeDirectory(t);
  const key = await createKey(path.join(directory, "keys"), "publisher");
  const { store, objects } = createMemoryStore(async () => turn());
  const published = await publish(store, key);
  const leaveTrace = async (chunks: readonly number[]) =>
    await store.replace(traceKey(published.treeId), encodeTrace(new Map([[published.treeId, chunks]])));
  await leaveTrace(read);
  let caches = 0;
  /** In a cache of its own: what is read comes from the store. */
  const open = async (stored: StoredTree, from: ObjectStore = store) => {
    const opened = await openStoredTree(from, stored, path.join(directory, `cache${caches++}`));
    t.teardown(() => opened.close());
    return opened;
  };
  const layOut = async (to: ObjectStore = store) => {
    const { ref } = await readCurrent(store, name, key);
    return await layOutTrace(to, ref!, key);
  };
  return { store, objects, key, published, open, layOut, leaveTrace };
}

async function publish(store: ObjectStore, key: SigningKey, ancestors: readonly string[] = [], version = "1") {
  const publication = await beginPublication(store, { ancestors });
  const root = createDirectoryNode({ permissions: 0o755 });
  const added = version === "1" ? contents : [...contents.slice(1), Buffer.from(version)];
  for (const [file, content] of added.entries()) {
    const pieces = await publication.addContent(content);
    root.children.set(String(file).padStart(2, "0"), createFileNode({ permissions: 0o644 }, pieces, content.length));
  }
  return await publication.commit(root, { ...name, version, key });
}

async function checkContent(t: ExecutionContext, { tree }: Awaited<ReturnType<typeof openStoredTree>>) {
  const bytes = Buffer.alloc(fileBytes);
  for (const [file, content] of contents.entries()) {
    const inode = tree.find(0, String(file).padStart(2, "0"));
    await runWithFaults(() => tree.read(inode, 0, fileBytes, bytes, 0), AbortSignal.timeout(120_000));
    t.true(bytes.equals(content), `file ${file}`);
  }
}

test("what a boot read lies together afterwards: the tree is the same, and one request brings it", async (t) => {
  const { store, published, open, layOut } = await setUp(t);
  const laidOut = await layOut();
  t.is(laidOut?.requestsBefore, read.length);
  t.is(laidOut?.requests, 1);
  t.is(laidOut?.ref.tree, published.treeId);
  t.not(laidOut?.ref.layout, published.layoutId);
  const asked: string[] = [];
  const counted = changeStore(store, {
    get: async (key, options) => {
      if (key.startsWith("packs/")) asked.push(key);
      return await store.get(key, options);
    },
  });
  const opened = await open(laidOut!.ref, counted);
  await opened.bringAhead({ chunks: read, signal: AbortSignal.timeout(120_000) });
  t.is(asked.length, 1);
  await checkContent(t, opened);
  t.deepEqual(await store.list("leases"), []);
});

test("it is laid out once (Y2), and publishing the same content again keeps it so and sends nothing", async (t) => {
  const { store, key, layOut } = await setUp(t);
  const laidOut = await layOut();
  t.is(await layOut(), undefined);
  const again = await publish(store, key, [laidOut!.ref.layout]);
  t.is(again.sentBytes, 0);
  t.is(again.layoutId, laidOut!.ref.layout);
  t.is(await layOut(), undefined);
});

test("who reads by the map before goes on, after every sweep (Y3)", async (t) => {
  const { store, key, published, open, layOut, leaveTrace } = await setUp(t);
  const first = await layOut();
  // Leaves nothing in the packs of the first one.
  await leaveTrace([...read, ...readLater].reverse());
  const second = await layOut();
  t.truthy(second);
  t.is((await sweepStore(store, { graceMs: 0 })).state, "clean");
  t.deepEqual((await checkStore(store)).problems, []);
  for (const layout of [published.layoutId, first!.ref.layout, second!.ref.layout])
    await checkContent(t, await open({ tree: published.treeId, layout }));
  t.deepEqual(
    (await readCurrent(store, name, key)).ref?.keeps?.map(({ layout }) => layout),
    [first!.ref.layout, published.layoutId],
  );
});

test("a map that is not whole any more is kept no longer: a sweep would not know what it needs", async (t) => {
  const { store, published, layOut, leaveTrace } = await setUp(t);
  const first = await layOut();
  await store.delete(`layouts/${published.layoutId}`);
  await leaveTrace([...read, ...readLater].reverse());
  const second = await layOut();
  t.deepEqual(second?.ref.keeps, [{ tree: published.treeId, layout: first!.ref.layout }]);
  await t.notThrowsAsync(sweepStore(store, { graceMs: 0 }));
});

test("without a trace that says anything, nothing is laid out", async (t) => {
  const { store, published, layOut } = await setUp(t);
  const key = traceKey(published.treeId);
  const other = new Map([["a".repeat(64), read]]);
  const outside = new Map([[published.treeId, read.map((chunk) => chunk + fileCount)]]);
  const together = new Map([[published.treeId, [1, 2, 3, 4]]]);
  for (const bytes of [Buffer.from("no trace"), ...[other, outside, together].map(encodeTrace)]) {
    await store.replace(key, bytes);
    t.is(await layOut(), undefined);
  }
  await store.delete(key);
  t.is(await layOut(), undefined);
});

test("a version that is not the newest any more stays as it is, and who moves the name meanwhile wins", async (t) => {
  const { store, key, published, layOut } = await setUp(t);
  const moving = changeStore(store, {
    putIfAbsent: async (...args) => {
      if (args[0].startsWith("layouts/")) await publish(store, key, [], "2");
      return await store.putIfAbsent(...args);
    },
  });
  await t.throwsAsync(layOut(moving), { code: "name-moved" });
  t.is((await readCurrent(store, name, key)).ref?.version, "2");
  t.is(await layOutTrace(store, published.ref, key), undefined);
});

test("a damaged pack is told by name, and the name means what it meant", async (t) => {
  const { store, objects, key, published, layOut } = await setUp(t);
  for (const pack of [...objects.keys()].filter((key) => key.startsWith("packs/"))) objects.get(pack)!.fill(7);
  await t.throwsAsync(layOut(), { code: "object-damaged", message: /packs\// });
  t.is((await readCurrent(store, name, key)).ref?.layout, published.layoutId);
});

test("ended at any request to the store, it has changed nothing that is read, and the next run completes it", async (t) => {
  let left = Number.POSITIVE_INFINITY;
  const { store, key, published, open, layOut } = await setUp(t, () => {
    if (left-- <= 0) throw new Error("ended");
  });
  for (let requests = 0; ; requests++) {
    left = requests;
    const laidOut = await layOut().catch((error) => {
      if (error.message !== "ended") throw error;
    });
    left = Number.POSITIVE_INFINITY;
    t.is((await readCurrent(store, name, key)).ref?.tree, published.treeId);
    t.deepEqual((await checkStore(store)).problems, []);
    if (laidOut === undefined) continue;
    t.true(requests > 10);
    await checkContent(t, await open(laidOut.ref));
    t.is(await layOut(), undefined);
    return;
  }
});
