import { join } from "node:path";
import test from "ava";
import { openLayers } from "../../../templates/layers/open-layers.ts";
import { readTrust } from "../../../xenostore/keys/key-ring.ts";
import { removeRef } from "../../../xenostore/publish/write-ref.ts";
import { makeStore, publishFiles } from "../../xenod/published.ts";

test("a tree that the store keeps is opened by whoever knows it, though its name is gone", async (t) => {
  const published = await makeStore(t);
  const { store, trustDirectory, directory } = published;
  const url = await publishFiles(published, "web", { "etc/motd": "hello" });
  const cacheDirectory = join(directory, "cache");
  const layers = openLayers({ store, trust: readTrust(trustDirectory), cacheDirectory });
  t.teardown(() => layers.close());
  const { tree, layout } = await layers.resolveUrl(url);
  await removeRef(store, { owner: "demo", name: "web", version: "1" });
  await t.throwsAsync(layers.resolveUrl(url), { code: "overlay-unknown" });
  t.like(await layers.locate(url, tree), { tree, layout });
  const opened = await layers.open(url, tree);
  t.true(opened.tree.find(0, "etc") > 0);
  await t.throwsAsync(layers.open(url, "f".repeat(64)), { code: "overlay-unknown" });
});

test("a tree is opened by many at once", async (t) => {
  const published = await makeStore(t);
  const { store, trustDirectory, directory } = published;
  const url = await publishFiles(published, "web", { "etc/motd": "hello" });
  const layers = openLayers({ store, trust: readTrust(trustDirectory), cacheDirectory: join(directory, "cache") });
  t.teardown(() => layers.close());
  const opened = await Promise.all(Array.from({ length: 20 }, () => layers.open(url, undefined)));
  t.is(opened.length, 20);
});
