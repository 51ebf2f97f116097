/**
 * Publishers and sweepers whose requests take effect in any order: no ref ever names what was deleted. Each request is one
 * step that the scheduler chooses; there is no grace, and no lease expires, so only the order can save anything (G1, G2).
 */
import path from "node:path";
import test, { type ExecutionContext } from "ava";
import { XenoError } from "../../../cowfs/errors.ts";
import { markObjects } from "../../../xenostore/collect/mark.ts";
import { writePin } from "../../../xenostore/collect/pin.ts";
import { sweepStore } from "../../../xenostore/collect/sweep.ts";
import { createKey } from "../../../xenostore/keys/key-ring.ts";
import { beginPublication, type Published } from "../../../xenostore/publish/publication.ts";
import { removeRef } from "../../../xenostore/publish/write-ref.ts";
import type { ObjectStore } from "../../../xenostore/stores/object-store.ts";
import fc from "../../property.ts";
import { makeDirectory } from "../make-directory.ts";
import { createMemoryStore } from "../memory-store.ts";
import { addFiles, type Files, makeBytes } from "../publish/sample.ts";

const runs = 100;
const files: Files = { one: makeBytes(2000, "one"), two: makeBytes(3000, "two") };
const others: Files = { ...files, three: makeBytes(1000, "three") };

interface Setting {
  readonly store: ObjectStore;
  /** Of a tree that no ref names. */
  readonly garbage: Published;
  publish(version: string, files: Files, ancestors?: string[]): Promise<Published>;
}

async function testInterleavings(
  t: ExecutionContext,
  prepare: (setting: Setting) => Promise<unknown>,
  run: (setting: Setting) => Promise<unknown>[],
): Promise<void> {
  const key = await createKey(path.join(await makeDirectory(t), "keys"), "publisher");
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), async (scheduler) => {
      let isScheduled = false;
      const { store, objects } = createMemoryStore(async (what) => {
        if (isScheduled) await scheduler.schedule(Promise.resolve(), what);
      });
      const publish = async (version: string, content: Files, ancestors: string[] = []) => {
        const publication = await beginPublication(store, { ancestors });
        const root = await addFiles(publication, content);
        return await publication.commit(root, { owner: "demo", name: "app", version, key });
      };
      const garbage = await publish("1", files);
      await removeRef(store, { owner: "demo", name: "app", version: "1" });
      const setting = { store, garbage, publish };
      await prepare(setting);
      isScheduled = true;
      await scheduler.waitFor(Promise.all(run(setting)));
      isScheduled = false;
      // Those who gave up need nothing.
      for (const lease of await store.list("leases")) await store.delete(lease);
      const marked = await markObjects(store, { now: Date.now() });
      for (const object of marked.objects)
        if (!object.startsWith("traces/") && !objects.has(object)) throw new Error(`${object} is gone`);
    }),
    { numRuns: runs },
  );
  t.pass();
}

const sweep = (store: ObjectStore) => sweepStore(store, { graceMs: 0 });

/** What was swept before somebody came is told to who needed it, who then names nothing. */
const unlessGone = (running: Promise<unknown>) =>
  running.catch((error) => {
    if (!(error instanceof XenoError && ["object-missing", "name-moved"].includes(error.code))) throw error;
  });

test("a publisher of what is condemned, and the sweeper that comes to delete it", async (t) => {
  await testInterleavings(
    t,
    ({ store }) => sweep(store),
    ({ store, publish }) => [publish("2", files), sweep(store)],
  );
});

test("a publisher who builds on what is condemned, and the sweeper", async (t) => {
  await testInterleavings(
    t,
    ({ store }) => sweep(store),
    ({ store, publish, garbage }) => [unlessGone(publish("2", others, [garbage.layoutId])), sweep(store)],
  );
});

test("a server that pins what is condemned, and the sweeper", async (t) => {
  await testInterleavings(
    t,
    ({ store }) => sweep(store),
    ({ store, garbage }) => [
      unlessGone(writePin(store, "server", { host: "a", written: 0, trees: [garbage.treeId] })),
      sweep(store),
    ],
  );
});

test("two publishers and two sweepers from the beginning", async (t) => {
  await testInterleavings(
    t,
    async () => {},
    ({ store, publish, garbage }) => [
      publish("2", files),
      unlessGone(publish("3", others, [garbage.layoutId])),
      sweep(store).then(() => sweep(store)),
      sweep(store).then(() => sweep(store)),
    ],
  );
});
