/**
 * A cache whose disk is full at any write that it makes: with no page or no name left, with one, and so on until all finds
 * room. So each file that is made, and each write that takes a page, is the first that finds no room once.
 */
import { mkdirSync, mkdtempSync, rmdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import test, { type ExecutionContext } from "ava";
import { execa } from "execa";
import { XenoError } from "../../../cowfs/errors.ts";
import { treesOf } from "../../../xenostore/pull/cache-files.ts";
import { keepRefs } from "../../../xenostore/pull/kept-refs.ts";
import { TreeCache } from "../../../xenostore/pull/tree-cache.ts";
import { verifyCachedTree } from "../../../xenostore/pull/verify-cache.ts";
import { TraceStore } from "../../../xenostore/traces/trace-store.ts";
import { fileCount, type PublishedTrees, publishTrees, readFile, treeBytes } from "./published-trees.ts";

const forever = new AbortController().signal;
const pageBytes = 4096;
const refKey = "refs/demo/t0/current";

/** More than such a cache takes of either. */
const disk = { pages: 512, names: 64 };

/** How much is left free, from none on: each page of what describes a tree, then every thirteenth of its content, whose chunks are of about 16. */
const pagesLeft = [...Array(40).keys(), ...Array.from({ length: 36 }, (_, index) => 40 + 13 * index)];
const namesLeft = [...Array(24).keys()];

for (const { what, left, refused } of [
  { what: "page", left: pagesLeft.map((pages) => ({ pages })), refused: [] },
  { what: "name", left: namesLeft.map((names) => ({ names })), refused: ["refused"] },
])
  test(`(R5) a cache that finds no ${what} left at any of its writes gives right bytes, or says that it is full; once there is room it keeps all`, async (t) => {
    const made = await publishTrees(t, 1);
    const contents = Array.from({ length: fileCount }, (_, file) => made.content(0, file));
    const published = { ...made, content: (_: number, file: number) => contents[file] };
    const mounted = mkdtempSync(path.join(tmpdir(), "xeno-full-disk-"));
    const options = `size=${disk.pages * pageBytes},nr_inodes=${disk.names}`;
    await execa("mount", ["-t", "tmpfs", "-o", options, "tmpfs", mounted]);
    const ends: string[] = [];
    try {
      for (const room of left) {
        const of = JSON.stringify(room);
        const cache = path.join(mounted, "cache");
        mkdirSync(cache);
        leaveRoom(mounted, room);
        ends.push(await pull(t, published, cache, of));
        leaveRoom(mounted, {});
        t.is(await pull(t, published, cache, of), "kept", `${of}: once there is room`);
        rmSync(cache, { recursive: true });
        if (ends.at(-1) === "kept") break;
      }
    } finally {
      await execa("umount", ["--lazy", mounted]);
      rmdirSync(mounted);
    }
    // Without a name there is no lock; a page it can do without.
    t.deepEqual([...new Set(ends)], [...refused, "served", "kept"]);
  });

/** Fills the disk but for so much; with all of it where nothing is named. */
function leaveRoom(mounted: string, { pages = disk.pages, names = disk.names }): void {
  const ballast = path.join(mounted, "ballast");
  rmSync(ballast, { recursive: true, force: true });
  const free = statfsSync(mounted);
  if (pages < free.bfree) writeFileSync(ballast, Buffer.alloc((free.bfree - pages) * pageBytes));
  if (names < free.ffree) {
    mkdirSync(ballast);
    for (let made = names + 1; made < free.ffree; made++) writeFileSync(path.join(ballast, `${made}`), "");
  }
}

/** "kept": all found room; "served": it did not, and nobody noticed; "refused": the tree could not be opened. */
async function pull(t: ExecutionContext, published: PublishedTrees, cache: string, room: string) {
  const [stored] = published.trees;
  const trees = treesOf(cache);
  const store = keepRefs(published.store, path.join(cache, "names"));
  const ref = await store.get(refKey, { maximumBytes: 2 ** 16 });
  t.true(ref.equals(await published.store.get(refKey, { maximumBytes: 2 ** 16 })), room);
  const opened = await new TreeCache({ store, directory: trees }).open(stored).catch((error) => {
    if (!(error instanceof XenoError && error.code === "cache-full")) throw error;
    t.true(error.hint !== undefined && error.message.includes(cache), error.message);
  });
  if (opened === undefined) return "refused";
  try {
    // The second time from where the first has put it.
    for (const _ of [1, 2])
      for (let file = 0; file < fileCount; file++)
        t.true((await readFile(opened.tree, file)).equals(published.content(0, file)), `${room}: file ${file}`);
    await new TraceStore(store, trees).put(stored.tree, new Map([[stored.tree, [0, 1]]]));
    await opened.bringAhead({ signal: forever }).catch((error) => {
      if (!(error instanceof XenoError && error.code === "cache-full")) throw error;
    });
  } finally {
    await opened.close();
  }
  // What it says that it has, it has.
  const verified = await verifyCachedTree(trees, stored.tree, forever);
  t.is(verified?.damagedChunks ?? 0, 0, room);
  t.false(verified?.isIndexDamaged ?? false, room);
  return verified?.bytes === treeBytes ? "kept" : "served";
}
