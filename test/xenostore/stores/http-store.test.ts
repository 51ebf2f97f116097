import { mkdir } from "node:fs/promises";
import path from "node:path";
import test from "ava";
import { openDirectoryStore } from "../../../xenostore/stores/directory-store.ts";
import type { ObjectStore } from "../../../xenostore/stores/object-store.ts";
import { openStore } from "../../../xenostore/stores/open-store.ts";
import { makeDirectory } from "../make-directory.ts";
import { startFaultyProxy } from "../services/faulty-proxy.ts";
import { shareInFile } from "../services/for-file.ts";
import { startNginx } from "../services/nginx.ts";
import { testObjectStore } from "./conformance.ts";
import { testRemoteFaults } from "./fault-matrix.ts";

/** One nginx for all, over a directory that holds a store for each test. */
const served = shareInFile(test, async (t) => {
  const directory = await makeDirectory(t);
  return { directory, url: await startNginx(t, directory) };
});

let count = 0;
async function openServed(): Promise<{ name: string; reader: ObjectStore; writer: ObjectStore }> {
  const name = `store${count++}`;
  const { directory, url } = served();
  return {
    name,
    writer: await openDirectoryStore(path.join(directory, name)),
    reader: await openStore(`${url}${name}`),
  };
}

/** What is read comes over HTTP, what is written goes to the directory that is served. */
testObjectStore("HTTP behind nginx", async () => {
  const { reader, writer } = await openServed();
  return {
    name: reader.name,
    get: (key, options) => reader.get(key, options),
    stat: (key, options) => reader.stat(key, options),
    list: (prefix, options) => reader.list(prefix, options),
    holds: (key, bytes, options) => reader.holds(key, bytes, options),
    putIfAbsent: (key, bytes, options) => writer.putIfAbsent(key, bytes, options),
    replace: (key, bytes, options) => writer.replace(key, bytes, options),
    compareAndSet: (key, expected, bytes, options) => writer.compareAndSet(key, expected, bytes, options),
    delete: (key, options) => writer.delete(key, options),
  };
});

testRemoteFaults(test, "HTTP", async (t, key, bytes, policy) => {
  const { name, writer } = await openServed();
  const proxy = await startFaultyProxy(t, served().url);
  await writer.putIfAbsent(key, bytes);
  return { proxy, store: await openStore(`${proxy.endpoint}/${name}`, { policy }) };
});

test("a store over HTTP takes no writes, and says where to write", async (t) => {
  const { reader } = await openServed();
  const expected = { code: "store-read-only", message: /packs\/one/ };
  await t.throwsAsync(reader.putIfAbsent("packs/one", Buffer.from("x")), expected);
  await t.throwsAsync(reader.replace("packs/one", Buffer.from("x")), expected);
  await t.throwsAsync(reader.compareAndSet("packs/one", undefined, Buffer.from("x")), expected);
  await t.throwsAsync(reader.delete("packs/one"), expected);
});

test("a server that lists nothing gives its objects, and says how to let it list", async (t) => {
  const directory = await makeDirectory(t);
  await mkdir(path.join(directory, "packs"), { recursive: true });
  const writer = await openDirectoryStore(directory);
  await writer.putIfAbsent("packs/one", Buffer.from("x"));
  const reader = await openStore(await startNginx(t, directory, "autoindex off;"));
  t.is((await reader.get("packs/one")).toString(), "x");
  await t.throwsAsync(reader.list("packs"), { code: "store-unlisted" });
});
