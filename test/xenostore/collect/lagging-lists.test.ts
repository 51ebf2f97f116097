/**
 * (G3) A store whose lists show it as it was some time ago: while that is less than a sweep's grace, nothing that a ref or a pin
 * needs is ever deleted, in whatever order publishers, servers and sweepers come.
 */
import path from "node:path";
import test from "ava";
import { XenoError } from "../../../cowfs/errors.ts";
import { markObjects } from "../../../xenostore/collect/mark.ts";
import { writePin } from "../../../xenostore/collect/pin.ts";
import { sweepStore } from "../../../xenostore/collect/sweep.ts";
import { createKey } from "../../../xenostore/keys/key-ring.ts";
import { beginPublication, type Published } from "../../../xenostore/publish/publication.ts";
import { removeRef } from "../../../xenostore/publish/write-ref.ts";
import fc from "../../property.ts";
import { changeStore } from "../change-store.ts";
import { makeDirectory } from "../make-directory.ts";
import { createMemoryStore } from "../memory-store.ts";
import { addFiles, type Files, makeBytes } from "../publish/sample.ts";

const minute = 60_000;
const lagMs = 50 * minute;
const graceMs = 60 * minute;
const contents: Files[] = ["a", "b"].map((seed) => ({
  shared: makeBytes(2000, "shared"),
  own: makeBytes(500, seed),
}));

const steps = fc.array(
  fc.record({
    what: fc.constantFrom("publish", "remove", "pin", "unpin", "sweep", "sweep", "sweep"),
    which: fc.nat({ max: contents.length - 1 }),
    minutes: fc.constantFrom(1, 20, 61),
  }),
  { minLength: 4, maxLength: 10 },
);

test("a sweep over lists that lag by less than its grace takes nothing that is needed", async (t) => {
  const key = await createKey(path.join(await makeDirectory(t), "keys"), "publisher");
  await fc.assert(
    fc.asyncProperty(steps, async (wanted) => {
      const { store, objects } = createMemoryStore();
      let now = Date.now();
      const history: { at: number; keys: string[] }[] = [];
      const lagging = changeStore(store, {
        list: async (prefix) => {
          const seen = history.findLast(({ at }) => at <= now - lagMs)?.keys ?? [];
          return seen.filter((known) => prefix === "" || known.startsWith(`${prefix}/`)).sort();
        },
      });
      const published: (Published | undefined)[] = [];
      const act = {
        publish: async (which: number) => {
          const publication = await beginPublication(lagging);
          const root = await addFiles(publication, contents[which]);
          const options = { owner: "demo", name: "app", version: String(which), key };
          published[which] = await publication.commit(root, options);
        },
        remove: (which: number) => removeRef(lagging, { owner: "demo", name: "app", version: String(which) }),
        pin: async (which: number) => {
          const trees = [published[which]?.treeId ?? []].flat();
          if (trees.some((tree) => objects.has(`trees/${tree}`)))
            await writePin(lagging, `server-${which}`, { host: "a", written: 0, trees });
        },
        unpin: (which: number) => writePin(lagging, `server-${which}`, { host: "a", written: 0, trees: [] }),
        sweep: () => sweepStore(lagging, { graceMs, now: () => now }),
      };
      // All of it is garbage by now, and lists know that.
      for (const which of contents.keys()) await act.publish(which);
      for (const which of contents.keys()) await act.remove(which);
      // A list that shows it would lead to what it means by now.
      objects.delete("refs/demo/app/current");
      history.push({ at: now, keys: [...objects.keys()] });
      now += 200 * minute;
      for (const { what, which, minutes } of wanted) {
        // A voucher that is not listed yet is a tree that nobody knows: told, and nothing is deleted.
        await act[what](which).catch((error) => {
          if (!(error instanceof XenoError && error.code === "collection-unsafe")) throw error;
        });
        history.push({ at: now, keys: [...objects.keys()] });
        now += minutes * minute;
        const marked = await markObjects(store, { now });
        for (const object of marked.objects)
          if (!object.startsWith("traces/") && !objects.has(object)) throw new Error(`${object} is gone`);
      }
    }),
    { numRuns: 40, seed: 7 },
  );
  t.pass();
});
