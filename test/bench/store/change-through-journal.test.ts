import { join } from "node:path";
import test from "ava";
import { changeThroughJournal } from "../../../bench/store/change-through-journal.ts";
import { openLayers } from "../../../templates/layers/open-layers.ts";
import { publishOverlay } from "../../../templates/overlays/publish-overlay.ts";
import { readTrust } from "../../../xenostore/keys/key-ring.ts";
import { makeStore, publishFiles } from "../../xenod/published.ts";

const { signal } = new AbortController();

test("what the store bench changes through a journal is published as just that", async (t) => {
  const published = await makeStore(t);
  const { store, key, trustDirectory, directory } = published;
  const files = { "etc/motd": "x".repeat(1000), "usr/empty": "", "usr/bin/kept": "k".repeat(100_000) };
  const url = await publishFiles(published, "tree", files);
  const layers = openLayers({ store, trust: readTrust(trustDirectory), cacheDirectory: join(directory, "cache") });
  t.teardown(() => layers.close());
  const journal = join(directory, "journal");
  const paths = ["etc/motd", "usr/empty"];
  await changeThroughJournal({ journal, url: `${url}@1`, resolve: layers.resolve, paths, signal });
  const wanted = { store, key, layers, source: journal, url: `${url}@2`, signal };
  const { newBytes, newChunks } = await publishOverlay(wanted);
  // Both files, and the `.mount` that names what lies below.
  t.is(newChunks, 3);
  t.true(newBytes < 2000);
});
