import fs from "node:fs/promises";
import path from "node:path";
import test from "ava";
import { openDirectoryStore } from "../../../xenostore/stores/directory-store.ts";
import { meterStore, TrafficMeter } from "../../../xenostore/stores/meter.ts";
import { makeDirectory } from "../make-directory.ts";
import { testObjectStore } from "./conformance.ts";

testObjectStore("a directory", async (t) => openDirectoryStore(await makeDirectory(t)));

testObjectStore("a metered directory", async (t) =>
  meterStore(await openDirectoryStore(await makeDirectory(t)), new TrafficMeter(), "client", "store"),
);

test("nothing is left in tmp/ after puts, and what a killed writer left goes once it is old", async (t) => {
  const root = await makeDirectory(t);
  const store = await openDirectoryStore(root);
  await store.putIfAbsent("packs/one", Buffer.from("x"));
  await store.putIfAbsent("packs/one", Buffer.from("y"));
  t.deepEqual(await fs.readdir(path.join(root, "tmp")), []);
  await fs.writeFile(path.join(root, "tmp", "old"), "");
  await fs.utimes(path.join(root, "tmp", "old"), 0, 0);
  await fs.writeFile(path.join(root, "tmp", "new"), "");
  await openDirectoryStore(root);
  t.deepEqual(await fs.readdir(path.join(root, "tmp")), ["new"]);
});

test("a store that is not there is unavailable, and says where it should be", async (t) => {
  const root = path.join(await makeDirectory(t), "none");
  await t.throwsAsync(openDirectoryStore(root, { create: false }), { code: "store-unavailable", message: /none/ });
  await fs.writeFile(root, "a file");
  await t.throwsAsync(openDirectoryStore(path.join(root, "store")), { code: "store-unavailable" });
});

test("a name below another name's object is refused clearly", async (t) => {
  const store = await openDirectoryStore(await makeDirectory(t));
  await store.putIfAbsent("refs/a/b", Buffer.from("x"));
  await t.throwsAsync(store.putIfAbsent("refs/a/b/c", Buffer.from("x")), {
    code: "store-key",
    message: /refs\/a\/b\/c/,
  });
  await t.throwsAsync(store.compareAndSet("refs/a", undefined, Buffer.from("x")), { code: "store-key" });
});

test("traffic is counted by who asked whom", async (t) => {
  const meter = new TrafficMeter();
  const store = await openDirectoryStore(await makeDirectory(t));
  const client = meterStore(store, meter, "client", "XenoStore");
  const server = meterStore(store, meter, "alpha", "XenoStore");
  await client.putIfAbsent("packs/one", Buffer.alloc(100));
  await client.putIfAbsent("packs/one", Buffer.alloc(100));
  await server.get("packs/one", { range: { start: 0, length: 30 } });
  await t.throwsAsync(server.get("packs/two"));
  t.deepEqual(meter.rows(), [
    { from: "client", to: "XenoStore", requests: 2, bytes: 100 },
    { from: "alpha", to: "XenoStore", requests: 2, bytes: 30 },
  ]);
});
