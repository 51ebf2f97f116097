/** Layers for tests of the union: sealed trees made from plain nodes, with their bytes in memory. */
import { blake3 } from "@napi-rs/blake-hash";
import { XenoError } from "../../../cowfs/errors.ts";
import { Fault } from "../../../cowfs/fault.ts";
import type { LiveSource } from "../../../cowfs/layers/live/live-files.ts";
import { encodeTree } from "../../../cowfs/trees/encode.ts";
import { createDirectoryNode, createFileNode, createSymlinkNode, type TreeNode } from "../../../cowfs/trees/node.ts";
import { openTree } from "../../../cowfs/trees/open.ts";
import type { Tree } from "../../../cowfs/trees/tree.ts";
import type { ResolveLayer } from "../../../cowfs/union/stack.ts";

const chunks = new Map<string, Buffer>();

export function file(text: string, permissions = 0o644): TreeNode {
  const bytes = Buffer.from(text, "latin1");
  if (bytes.length === 0) return createFileNode({ permissions }, [], 0);
  const hash = blake3(bytes).toString("hex");
  chunks.set(hash, bytes);
  return createFileNode({ permissions }, [{ offset: 0, length: bytes.length, hash }], bytes.length);
}

export function symlink(target: string): TreeNode {
  return createSymlinkNode({ permissions: 0o777 }, target);
}

export function directory(children: Record<string, TreeNode | "whiteout">, opaque = false): TreeNode {
  return { ...createDirectoryNode({ permissions: 0o755 }), children: new Map(Object.entries(children)), opaque };
}

export function openNode(root: TreeNode): Tree {
  const encoded = encodeTree(root);
  if (encoded.chunks.some(({ hash }) => !chunks.has(hash)))
    return openTree(encoded.index, { read: refuseToRead }, encoded.id);
  const space = Buffer.concat(encoded.chunks.map(({ hash }) => chunks.get(hash)!));
  const read = (address: number, length: number, target: Buffer, at: number) =>
    void space.copy(target, at, address, address + length);
  return openTree(encoded.index, { read }, encoded.id);
}

/** The bytes of a tree with chunks that nobody has. */
function refuseToRead(address: number): never {
  const bring = () => Promise.reject(new XenoError("object-missing", "nobody has these bytes"));
  throw new Fault([{ key: `bytes at ${address}`, bring }]);
}

/** Resolves the URLs of a table; anything else is unknown. */
export function resolveFrom(layers: Record<string, TreeNode>, live: Record<string, LiveSource> = {}): ResolveLayer {
  return async (url) => {
    if (live[url] !== undefined) return live[url];
    const node = layers[url];
    if (node === undefined && url.endsWith("://away")) throw new XenoError("store-unavailable", "the store is away");
    if (node === undefined) throw new XenoError("layer-unknown", `no layer ${url}`);
    return openNode(node);
  };
}
