import fs from "node:fs/promises";
import path from "node:path";
import test, { type ExecutionContext } from "ava";
import { XenoError } from "../../../cowfs/errors.ts";
import { runWithFaults } from "../../../cowfs/fault.ts";
import type { Tree } from "../../../cowfs/trees/tree.ts";
import { createKey, readTrust, trustKey } from "../../../xenostore/keys/key-ring.ts";
import { beginPublication, type CommitOptions } from "../../../xenostore/publish/publication.ts";
import { type OpenedTree, openStoredTree } from "../../../xenostore/pull/open-stored-tree.ts";
import { resolveRef } from "../../../xenostore/pull/resolve-ref.ts";
import { defaultRetryPolicy } from "../../../xenostore/pull/retry.ts";
import { TreeCache } from "../../../xenostore/pull/tree-cache.ts";
import { openDirectoryStore } from "../../../xenostore/stores/directory-store.ts";
import type { ObjectStore } from "../../../xenostore/stores/object-store.ts";
import { changeStore } from "../change-store.ts";
import { makeDirectory } from "../make-directory.ts";
import { addFiles, type Files, makeBytes, templateFiles } from "./sample.ts";

const forever = new AbortController().signal;
const impatient = { ...defaultRetryPolicy, patienceMs: 0 };

async function setUp(t: ExecutionContext) {
  const directory = await makeDirectory(t);
  const store = await openDirectoryStore(path.join(directory, "store"));
  const key = await createKey(path.join(directory, "keys"), "publisher");
  const cache = path.join(directory, "cache");
  const options: CommitOptions = { owner: "templates", name: "Debian/12", version: "12.1", key };
  const publish = async (files: Files, change: Partial<CommitOptions> = {}, ancestors: string[] = [], to = store) => {
    const publication = await beginPublication(to, { ancestors });
    return await publication.commit(await addFiles(publication, files), { ...options, ...change });
  };
  const open = async (published: { treeId: string; layoutId: string }, from: ObjectStore = store) => {
    const opened = await openStoredTree(from, { tree: published.treeId, layout: published.layoutId }, cache, {
      retries: impatient,
    });
    t.teardown(() => opened.close());
    return opened;
  };
  return { directory, storeRoot: path.join(directory, "store"), store, key, cache, publish, open };
}

function findPath(tree: Tree, path: string): number {
  return path.split("/").reduce((directory, name) => tree.find(directory, name), 0);
}

async function readFile({ tree }: OpenedTree, path: string): Promise<Buffer> {
  const inode = findPath(tree, path);
  const content = Buffer.alloc(tree.size(inode));
  await runWithFaults(() => tree.read(inode, 0, content.length, content, 0), AbortSignal.timeout(120_000));
  return content;
}

async function checkFiles(t: ExecutionContext, opened: OpenedTree, files: Files): Promise<void> {
  for (const [path, content] of Object.entries(files)) t.true((await readFile(opened, path)).equals(content), path);
}

/** The store, with what `get` gives changed by `change`. */
function tamper(store: ObjectStore, change: (key: string, bytes: Buffer) => Buffer): ObjectStore & { gets: string[] } {
  const gets: string[] = [];
  return Object.assign(Object.create(store) as ObjectStore, {
    gets,
    get: async (...[key, options]: Parameters<ObjectStore["get"]>) => {
      gets.push(key);
      return change(key, Buffer.from(await store.get(key, options)));
    },
  });
}

const unreachable = (store: ObjectStore) =>
  tamper(store, (key) => {
    throw new XenoError("store-unavailable", `the store is away: ${key}`);
  });

function flipByte(bytes: Buffer): Buffer {
  bytes[bytes.length >>> 1] ^= 0x10;
  return bytes;
}

test("what was published is what is pulled, on demand and by filling", async (t) => {
  const { publish, open, store } = await setUp(t);
  const published = await publish(templateFiles);
  const opened = await open(
    published,
    tamper(store, (_, bytes) => bytes),
  );
  t.is(opened.tree.id, published.treeId);
  t.is(opened.residentBytes(), 0);
  t.true((await readFile(opened, "usr/lib/other.so")).equals(templateFiles["usr/lib/other.so"]));
  t.true(opened.residentBytes() > 0 && opened.residentBytes() < opened.tree.contentBytes);
  const progress: number[] = [];
  await opened.bringAhead({ onProgress: ({ doneBytes }) => progress.push(doneBytes), signal: forever });
  t.is(progress.at(-1), opened.tree.chunks.bytes);
  await checkFiles(t, opened, templateFiles);
  t.is(opened.tree.linkTarget(findPath(opened.tree, "lib")), "usr/lib");
});

test("an overlay sends no chunk that its template holds", async (t) => {
  const { publish, open } = await setUp(t);
  const template = await publish(templateFiles);
  const large = Buffer.from(templateFiles["usr/lib/large.so"]);
  large.write("changed", 700_000);
  const overlayFiles = {
    "srv/page": Buffer.from("<h1>"),
    "usr/lib/large.so": large,
    "etc/hostname": Buffer.from("debian\n"),
  };
  const base = [{ tree: template.treeId, layout: template.layoutId }];
  const overlay = await publish(overlayFiles, { owner: "demo", name: "apache", version: "1", base }, [
    template.layoutId,
  ]);
  t.is(overlay.newChunks, 2);
  t.true(overlay.newBytes < 300_000);
  t.true(overlay.reusedChunks > 10);
  const opened = await open(overlay);
  t.is(opened.tree.base, template.treeId);
  await checkFiles(t, opened, overlayFiles);
});

test("pieces of a tree that is no ancestor are refused", async (t) => {
  const { store, publish, open, key } = await setUp(t);
  const { tree } = await open(await publish(templateFiles));
  const publication = await beginPublication(store);
  const root = await addFiles(publication, {});
  const pieces = tree.pieces(findPath(tree, "etc/hostname"));
  root.children!.set("copy", { ...root, children: undefined, mode: 0o100644, size: 7, pieces });
  const commit = publication.commit(root, { owner: "demo", name: "x", version: "1", key });
  await t.throwsAsync(commit, { code: "chunk-unknown" });
});

test("the same content gives the same objects, and publishing it again sends none", async (t) => {
  const { publish, store } = await setUp(t);
  const first = await publish(templateFiles);
  const before = await store.list("");
  const again = await publish(templateFiles);
  t.is(again.treeId, first.treeId);
  t.is(again.layoutId, first.layoutId);
  t.is(again.sentBytes, 0);
  t.deepEqual(await store.list(""), before);
});

test("a version does not change its tree", async (t) => {
  const { publish } = await setUp(t);
  await publish(templateFiles);
  await t.throwsAsync(publish({ a: Buffer.from("b") }), {
    code: "version-exists",
    message: /templates\/Debian\/12@12\.1/,
  });
});

test("after an interrupted publication nothing is visible, and the next run sends only what is missing", async (t) => {
  const { publish, store, open } = await setUp(t);
  const files = { ...templateFiles, big: makeBytes(40_000_000, "big") };
  const broken = changeStore(store, {
    putIfAbsent: async (...args) => {
      if ((await store.list("packs")).length >= 1) throw new XenoError("store-full", "the store is full");
      return await store.putIfAbsent(...args);
    },
  });
  await t.throwsAsync(publish(files, {}, [], broken), { code: "store-full" });
  t.deepEqual(await store.list("refs"), []);
  const sent = (await store.stat((await store.list("packs"))[0]))!.bytes;
  const published = await publish(files);
  t.true(sent > 10_000_000 && published.sentBytes < 42_500_000 - sent);
  const opened = await open(published);
  t.true((await readFile(opened, "big")).equals(files.big));
});

test("publishing again repairs an object that was cut short in the store", async (t) => {
  const { publish, open, storeRoot, store } = await setUp(t);
  const published = await publish(templateFiles);
  for (const key of await store.list("packs")) await fs.truncate(path.join(storeRoot, key), 1000);
  const opened = await open(published);
  await t.throwsAsync(readFile(opened, "usr/lib/large.so"), { code: "object-damaged", message: /packs\// });
  await publish(templateFiles);
  await checkFiles(t, opened, templateFiles);
});

test("publishing again repairs an object of the right length that was damaged in the store", async (t) => {
  const { publish, open, storeRoot, store } = await setUp(t);
  const published = await publish(templateFiles);
  for (const key of await store.list("packs")) {
    const file = path.join(storeRoot, key);
    await fs.writeFile(file, flipByte(await fs.readFile(file)));
  }
  await publish(templateFiles);
  await checkFiles(t, await open(published), templateFiles);
});

test("what the store lost of an ancestor is sent again", async (t) => {
  const { publish, open, store } = await setUp(t);
  const template = await publish(templateFiles);
  for (const key of await store.list("packs")) await store.delete(key);
  const overlay = await publish(templateFiles, { name: "copy" }, [template.layoutId]);
  t.is(overlay.reusedChunks, 0);
  await checkFiles(t, await open(overlay), templateFiles);
});

test("a publication leaves no lease", async (t) => {
  const { publish, store } = await setUp(t);
  await publish(templateFiles);
  t.deepEqual(await store.list("leases"), []);
});

test("a damaged pack is fetched twice, named and never served", async (t) => {
  const { publish, open, store } = await setUp(t);
  const published = await publish(templateFiles);
  const tampered = tamper(store, (key, bytes) => (key.startsWith("packs/") ? bytes.fill(7) : bytes));
  const opened = await open(published, tampered);
  await t.throwsAsync(readFile(opened, "etc/hostname"), { code: "object-damaged", message: /packs\/[0-9a-f]{64}/ });
  t.is(tampered.gets.filter((key) => key.startsWith("packs/")).length, 2);
});

test("what came damaged once is fetched again without anybody noticing", async (t) => {
  const { publish, open, store } = await setUp(t);
  const published = await publish(templateFiles);
  const seen = new Set<string>();
  const flaky = tamper(store, (key, bytes) => {
    const isFirst = !seen.has(key);
    seen.add(key);
    return isFirst ? flipByte(bytes) : bytes;
  });
  await checkFiles(t, await open(published, flaky), templateFiles);
  t.is(seen.size, 3);
});

for (const [kind, pattern] of [
  ["trees", /trees\//],
  ["layouts", /layouts\//],
] as const)
  test(`a damaged object in ${kind}/ is refused by name, and a damaged copy in the cache is fetched again`, async (t) => {
    const { publish, open, store, cache } = await setUp(t);
    const published = await publish(templateFiles);
    const tampered = tamper(store, (key, bytes) => (key.startsWith(kind) ? flipByte(bytes) : bytes));
    await t.throwsAsync(open(published, tampered), { code: "object-damaged", message: pattern });
    await (await open(published)).close();
    const folder = path.join(cache, published.treeId);
    for (const name of await fs.readdir(folder))
      if (/^(index|layout)/.test(name)) await fs.truncate(path.join(folder, name), 100);
    await checkFiles(t, await open(published), templateFiles);
  });

test("what is in the cache is served while the store is away; what is not says so", async (t) => {
  const { publish, open, store } = await setUp(t);
  const published = await publish(templateFiles);
  const online = await open(published);
  await readFile(online, "usr/lib/other.so");
  await online.close();
  const offline = await open(published, unreachable(store));
  t.true((await readFile(offline, "usr/lib/other.so")).equals(templateFiles["usr/lib/other.so"]));
  await t.throwsAsync(readFile(offline, "usr/lib/large.so"), { code: "store-unavailable" });
  await t.throwsAsync(offline.bringAhead({ signal: forever }), { code: "store-unavailable" });
});

test("who opens a tree twice in one process shares it, and the last to close gives it up", async (t) => {
  const { publish, store, cache } = await setUp(t);
  const { treeId: tree, layoutId: layout } = await publish(templateFiles);
  const trees = new TreeCache({ store, directory: cache });
  const [one, two] = await Promise.all([trees.open({ tree, layout }), trees.open({ tree, layout })]);
  t.is(one.tree, two.tree);
  await one.close();
  await one.close();
  await checkFiles(t, two, { "etc/hostname": templateFiles["etc/hostname"] });
  await t.throwsAsync(openStoredTree(store, { tree, layout }, cache), { code: "in-use" });
  const [third] = await Promise.all([two.close().then(() => trees.open({ tree, layout })), two.close()]);
  await third.close();
  await (await openStoredTree(store, { tree, layout }, cache)).close();
  await t.throwsAsync(
    new TreeCache({ store: unreachable(store), directory: `${cache}2`, retries: impatient }).open({ tree, layout }),
    {
      code: "store-unavailable",
    },
  );
});

test("a ref resolves for those who trust its key, at its version and at current", async (t) => {
  const { publish, store, key, directory } = await setUp(t);
  const published = await publish(templateFiles);
  const keys = path.join(directory, "reader");
  const trust = readTrust(keys);
  const resolve = (version: string) => resolveRef(store, trust, "templates", "Debian/12", version);
  await t.throwsAsync(resolve("current"), { code: "ref-untrusted", message: /templates\/Debian\/12@current/ });
  await trustKey(keys, "demo", key.publicKey);
  await t.throwsAsync(resolve("current"), { code: "ref-untrusted" });
  await trustKey(keys, "templates", key.publicKey);
  for (const version of ["current", "12.1"]) {
    const ref = await resolve(version);
    t.is(ref.tree, published.treeId);
    t.is(ref.layout, published.layoutId);
    t.is(ref.version, "12.1");
  }
  await t.throwsAsync(resolve("12.2"), { code: "ref-missing", message: /12@12\.2/ });
});
