import { join } from "node:path";
import test from "ava";
import { XenoError } from "../../../cowfs/errors.ts";
import { StorePins } from "../../../xenod/daemon/store-pins.ts";
import { readPin } from "../../../xenostore/collect/pin.ts";
import { changeStore } from "../../xenostore/change-store.ts";
import { makeDirectory } from "../../xenostore/make-directory.ts";
import { createMemoryStore } from "../../xenostore/memory-store.ts";

const { signal } = new AbortController();
const trees = ["a".repeat(64), "b".repeat(64)];

test("the store is told what the domains need, when that changes, under one name across restarts", async (t) => {
  const file = join(await makeDirectory(t), "store-pins.json");
  const { store, objects } = createMemoryStore();
  const open = () => new StorePins({ store, file, name: "a", log: { warn: () => t.fail() } });
  const pins = open();
  await pins.update([], signal);
  t.is(objects.size, 0, "who needs nothing says nothing");
  await pins.update([trees[1], trees[0], trees[1]], signal);
  const [key] = [...objects.keys()];
  t.regex(key, /^pins\/a-[0-9a-f]{8}$/);
  const pin = await readPin(store, key);
  t.deepEqual(pin?.trees, trees);
  objects.delete(key);
  await pins.update(trees, signal);
  t.is(objects.size, 0, "nothing changed");
  const later = open();
  await later.update([trees[0]], signal);
  t.deepEqual((await readPin(store, key))?.trees, [trees[0]]);
  await later.update([], signal);
  t.is(objects.size, 0);
});

test("a store that takes no pins is told of once, and holds up nothing", async (t) => {
  const file = join(await makeDirectory(t), "store-pins.json");
  const store = changeStore(createMemoryStore().store, {
    replace: async () => {
      throw new XenoError("store-read-only", "no");
    },
  });
  let warnings = 0;
  const pins = new StorePins({ store, file, name: "a", log: { warn: () => void warnings++ } });
  for (let i = 0; i < 3; i++) await pins.update([trees[0]], signal);
  t.is(warnings, 1);
});
