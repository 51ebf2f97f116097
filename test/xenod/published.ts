/** A store with small trees in it, keys trusted, all in a directory of its own. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import { createDirectoryNode, createFileNode, type TreeNode } from "../../cowfs/trees/node.ts";
import { createKey, type SigningKey, trustKey } from "../../xenostore/keys/key-ring.ts";
import { beginPublication } from "../../xenostore/publish/publication.ts";
import { openDirectoryStore } from "../../xenostore/stores/directory-store.ts";
import type { ObjectStore } from "../../xenostore/stores/object-store.ts";

export interface Published {
  readonly directory: string;
  readonly storeDirectory: string;
  readonly trustDirectory: string;
  readonly store: ObjectStore;
  readonly key: SigningKey;
}

/** Gone when the test ends; sockets below it have room for their names. */
export async function makeStore(t: Pick<ExecutionContext, "teardown">): Promise<Published> {
  const directory = await mkdtemp(join(tmpdir(), "xd-"));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const storeDirectory = join(directory, "store");
  const trustDirectory = join(directory, "keys");
  const store = await openDirectoryStore(storeDirectory, { create: true });
  const key = await createKey(trustDirectory, "tests");
  for (const owner of ["demo", "templates"]) await trustKey(trustDirectory, owner, key.publicKey);
  return { directory, storeDirectory, trustDirectory, store, key };
}

/** Publishes `xenostore://demo/NAME`, of text files by path; those in `executables` may be run. */
export async function publishFiles(
  { store, key }: Published,
  name: string,
  files: Readonly<Record<string, string | Buffer>>,
  options: { executables?: readonly string[]; directories?: readonly string[]; version?: string } = {},
): Promise<string> {
  const publication = await beginPublication(store);
  const root = createDirectoryNode({ permissions: 0o755 });
  for (const path of options.directories ?? []) findDirectory(root, path.split("/"));
  for (const [path, content] of Object.entries(files)) {
    const names = path.split("/");
    const bytes = Buffer.from(content);
    const permissions = options.executables?.includes(path) ? 0o755 : 0o644;
    const node = createFileNode({ permissions }, await publication.addContent(bytes), bytes.length);
    findDirectory(root, names.slice(0, -1)).children!.set(names.at(-1)!, node);
  }
  await publication.commit(root, { owner: "demo", name, version: options.version ?? "1", key });
  return `xenostore://demo/${name}`;
}

function findDirectory(root: TreeNode, names: readonly string[]): TreeNode {
  let directory = root;
  for (const name of names) {
    const next = directory.children!.get(name) ?? createDirectoryNode({ permissions: 0o755 });
    directory.children!.set(name, next);
    directory = next as TreeNode;
  }
  return directory;
}
