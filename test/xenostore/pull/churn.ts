/** Opens, reads and closes the trees of argv[5] in a cache too small for all of them, until it is killed. */
import { TreeCache } from "../../../xenostore/pull/tree-cache.ts";
import type { StoredTree } from "../../../xenostore/refs/ref.ts";
import { openDirectoryStore } from "../../../xenostore/stores/directory-store.ts";
import { fileCount, readFile } from "./published-trees.ts";

const [storeDirectory, directory, maxBytes, text] = process.argv.slice(2);
const store = await openDirectoryStore(storeDirectory);
const cache = new TreeCache({ store, directory, maxBytes: Number(maxBytes) });
const trees: StoredTree[] = JSON.parse(text);
for (let turn = 0; ; turn++) {
  const opened = await cache.open(trees[turn % trees.length]);
  if (turn === 0) console.log("begun");
  for (let file = 0; file < fileCount; file++) await readFile(opened.tree, (file + turn) % fileCount);
  await opened.close();
}
