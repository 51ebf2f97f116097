/**
 * Publishing a checkpoint: its memory, its journal and its manifest as a sealed tree, under a name that the XenoServer signs.
 *
 * Memory is cut into chunks like any file, so a later checkpoint of the same guest sends what has changed; pages of zeros are not
 * in the image to begin with. A memory image is code that runs with the hypervisor: it is signed as `xenoserver+NAME`, an owner
 * of its own, so that nobody who is trusted for overlays is trusted for this by it.
 */
import { createReadStream } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { createDirectoryNode, createFileNode, type TreeNode } from "../../cowfs/trees/node.ts";
import type { SigningKey } from "../../xenostore/keys/key-ring.ts";
import { beginPublication, type Publication } from "../../xenostore/publish/publication.ts";
import { formatOverlayUrl } from "../../xenostore/refs/overlay-url.ts";
import type { StoredTree } from "../../xenostore/refs/ref.ts";
import type { ObjectStore } from "../../xenostore/stores/object-store.ts";
import type { CheckpointManifest } from "./manifest.ts";

export interface CheckpointPublication {
  readonly store: ObjectStore;
  readonly key: SigningKey;
  /** Whose the key is: the checkpoint may have been taken elsewhere. */
  readonly server: string;
  readonly manifest: CheckpointManifest;
  readonly memoryFile: string;
  /** A fork at the checkpoint's pin that nobody has opened. */
  readonly journal: string;
  /** Without these trees nobody can resume it: the store keeps them while it is published. */
  readonly needed: readonly StoredTree[];
  /** Pack maps of trees that the store holds: of earlier checkpoints of this guest. */
  readonly ancestors: readonly string[];
  readonly signal: AbortSignal;
}

export interface PublishedCheckpoint {
  readonly url: string;
  readonly layout: string;
  /** Of which the store had none, before compression; and bytes sent. */
  readonly newBytes: number;
  readonly sentBytes: number;
}

export const checkpointOwnerPrefix = "xenoserver+";

export async function publishCheckpoint(publication: CheckpointPublication): Promise<PublishedCheckpoint> {
  const { store, key, server, manifest, memoryFile, journal, needed, ancestors, signal } = publication;
  const content = await beginPublication(store, { ancestors, signal });
  const root = createDirectoryNode({ permissions: 0o700 });
  const add = async (file: string, folder: Map<string, TreeNode | "whiteout">, name: string) => {
    const { size } = await stat(file);
    const pieces = size === 0 ? [] : await content.addContent(createReadStream(file, { highWaterMark: 1024 * 1024 }));
    folder.set(name, createFileNode({ permissions: 0o600 }, pieces, size));
  };
  await add(memoryFile, root.children, "memory");
  root.children.set("journal", await addDirectory(content, journal, add));
  const text = Buffer.from(JSON.stringify(manifest));
  root.children.set(
    "manifest.json",
    createFileNode({ permissions: 0o600 }, await content.addContent(text), text.length),
  );
  const owner = `${checkpointOwnerPrefix}${server}`;
  // A domain of the same name may come again, and count from 1.
  const version = `${manifest.number}-${manifest.created.toString(36)}`;
  const { ref, newBytes, sentBytes } = await content.commit(root, {
    ...{ owner, name: manifest.domain, version, key },
    keeps: needed,
  });
  return { url: formatOverlayUrl({ owner, name: manifest.domain, version }), layout: ref.layout, newBytes, sentBytes };
}

async function addDirectory(
  content: Publication,
  directory: string,
  add: (file: string, folder: Map<string, TreeNode | "whiteout">, name: string) => Promise<void>,
  root = directory,
): Promise<TreeNode> {
  const node = createDirectoryNode({ permissions: 0o700 });
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    // Numbers of live layers, which mean something on this host only.
    if (directory === root && entry.name === "live") continue;
    if (entry.isDirectory()) node.children.set(entry.name, await addDirectory(content, path, add, root));
    else if (entry.isFile() && entry.name !== "lock") await add(path, node.children, entry.name);
    else if (!entry.isFile()) throw new Error(`${relative(directory, path)} is no file of a journal`);
  }
  return node;
}
