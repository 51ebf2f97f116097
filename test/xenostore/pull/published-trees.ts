/** Small trees in a store, and what is in them: 1 MiB a tree, of which all but the last file are the same in each. */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import { runWithFaults } from "../../../cowfs/fault.ts";
import { createDirectoryNode, createFileNode } from "../../../cowfs/trees/node.ts";
import type { Tree } from "../../../cowfs/trees/tree.ts";
import { createKey } from "../../../xenostore/keys/key-ring.ts";
import { beginPublication } from "../../../xenostore/publish/publication.ts";
import type { StoredTree } from "../../../xenostore/refs/ref.ts";
import { openDirectoryStore } from "../../../xenostore/stores/directory-store.ts";
import type { ObjectStore } from "../../../xenostore/stores/object-store.ts";
import { makeDirectory } from "../make-directory.ts";
import { makeBytes } from "../publish/sample.ts";

export const fileCount = 8;
export const fileBytes = 2 ** 17;
export const treeBytes = fileCount * fileBytes;

export interface PublishedTrees {
  readonly directory: string;
  readonly store: ObjectStore;
  readonly trees: readonly StoredTree[];
  content(tree: number, file: number): Buffer;
}

/** `shared`: how many of each tree's files all trees have. */
export async function publishTrees(t: ExecutionContext, count: number, shared = 0): Promise<PublishedTrees> {
  const directory = await makeDirectory(t);
  const store = await openDirectoryStore(join(directory, "store"));
  const key = await createKey(join(directory, "keys"), "tests");
  const content = (tree: number, file: number) => makeBytes(fileBytes, `${file < shared ? "all" : tree} ${file}`);
  const trees: StoredTree[] = [];
  for (let tree = 0; tree < count; tree++) {
    const ancestors = trees.slice(-1).map(({ layout }) => layout);
    const publication = await beginPublication(store, { ancestors });
    const root = createDirectoryNode({ permissions: 0o755 });
    for (let file = 0; file < fileCount; file++) {
      const pieces = await publication.addContent(content(tree, file));
      root.children.set(`f${file}`, createFileNode({ permissions: 0o644 }, pieces, fileBytes));
    }
    const to = { owner: "demo", name: `t${tree}`, version: randomUUID(), key };
    const { treeId, layoutId } = await publication.commit(root, to);
    trees.push({ tree: treeId, layout: layoutId });
  }
  return { directory, store, trees, content };
}

export async function readFile(tree: Tree, file: number, signal = AbortSignal.timeout(120_000)): Promise<Buffer> {
  const inode = tree.find(0, `f${file}`);
  const bytes = Buffer.alloc(fileBytes);
  await runWithFaults(() => tree.read(inode, 0, fileBytes, bytes, 0), signal);
  return bytes;
}
