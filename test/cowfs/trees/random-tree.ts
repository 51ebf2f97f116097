/** Random trees for property tests: every type, hard links, holes, whiteouts, opaque marks, names that are not UTF-8. */
import { blake3 } from "@napi-rs/blake-hash";
import type { AddressSpace } from "../../../cowfs/trees/address-space.ts";
import {
  createDirectoryNode,
  createFileNode,
  createSpecialNode,
  createSymlinkNode,
  type NodeMetadata,
  type TreeNode,
} from "../../../cowfs/trees/node.ts";
import type { Piece } from "../../../cowfs/trees/tree.ts";
import fc from "../../property.ts";

export function hashHex(bytes: Buffer): string {
  return blake3(bytes).toString("hex");
}

/** The content of chunk `seed`, by its hash: few seeds, so that chunks are shared. */
export function makeChunk(seed: number): { hash: string; bytes: Buffer } {
  const bytes = Buffer.alloc(1 + ((seed * 37) % 200), seed + 1);
  return { hash: hashHex(bytes), bytes };
}

export const seeds = 12;
export const chunkBytes = new Map(
  Array.from({ length: seeds }, (_, seed) => makeChunk(seed)).map(({ hash, bytes }) => [hash, bytes]),
);

/** All chunks of an encoded tree in one buffer. */
export function makeSpace(chunks: readonly { hash: string }[]): AddressSpace {
  const bytes = Buffer.concat(chunks.map(({ hash }) => chunkBytes.get(hash)!));
  return { read: (address, length, target, offset) => void bytes.copy(target, offset, address, address + length) };
}

const byteText = (minLength: number, maxLength: number) =>
  fc.uint8Array({ minLength, maxLength }).map((bytes) => Buffer.from(bytes).toString("latin1"));
const name = byteText(1, 6).filter((name) => !/[/\0]/.test(name) && name !== "." && name !== "..");

const metadata: fc.Arbitrary<NodeMetadata> = fc.record({
  permissions: fc.integer({ min: 0, max: 0o7777 }),
  uid: fc.integer({ min: 0, max: 0xffffffff }),
  gid: fc.integer({ min: 0, max: 0xffffffff }),
  modified: fc.record({
    seconds: fc.integer({ min: -(2 ** 40), max: 2 ** 40 }),
    nanoseconds: fc.integer({ min: 0, max: 999_999_999 }),
  }),
  attributes: fc
    .array(
      fc.tuple(
        name,
        fc.uint8Array({ maxLength: 9 }).map((bytes) => Buffer.from(bytes)),
      ),
      { maxLength: 3 },
    )
    .map((list) => new Map(list)),
});

const file = fc
  .tuple(
    metadata,
    fc.array(fc.tuple(fc.integer({ min: 0, max: seeds - 1 }), fc.constantFrom(0, 0, 0, 1, 77)), { maxLength: 6 }),
    fc.constantFrom(0, 0, 5),
  )
  .map(([metadata, parts, tail]) => {
    const pieces: Piece[] = [];
    let offset = 0;
    for (const [seed, gap] of parts) {
      if (gap > 0) pieces.push({ offset, length: gap, hash: undefined });
      const { hash, bytes } = makeChunk(seed);
      pieces.push({ offset: offset + gap, length: bytes.length, hash });
      offset += gap + bytes.length;
    }
    if (tail > 0) pieces.push({ offset, length: tail, hash: undefined });
    return createFileNode(metadata, pieces, offset + tail);
  });

const special = fc
  .tuple(
    metadata,
    fc.constantFrom(0o060000, 0o020000, 0o010000, 0o140000),
    fc.integer({ min: 0, max: 4095 }),
    fc.integer({ min: 0, max: 0xfffff }),
  )
  .map(([metadata, type, major, minor]) =>
    type === 0o060000 || type === 0o020000
      ? createSpecialNode(metadata, type, major, minor)
      : createSpecialNode(metadata, type, 0, 0),
  );

const symlink = fc
  .tuple(
    metadata,
    byteText(1, 9).filter((target) => !target.includes("\0")),
  )
  .map(([metadata, target]) => createSymlinkNode(metadata, target));

const { root } = fc.letrec<{ root: TreeNode; node: TreeNode | "whiteout" }>((tie) => ({
  root: fc
    .tuple(metadata, fc.boolean(), fc.array(fc.tuple(name, tie("node")), { maxLength: 5 }))
    .map(([metadata, opaque, children]) => ({ ...createDirectoryNode(metadata), opaque, children: new Map(children) })),
  node: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    file,
    special,
    symlink,
    fc.constant("whiteout" as const),
    tie("root"),
  ),
}));

/** A random tree; some of its files also have a second name in the root. */
export const randomTree: fc.Arbitrary<TreeNode> = fc
  .tuple(root, fc.array(name, { maxLength: 3 }))
  .map(([root, names]) => {
    const files = [...walk(root)].map(([, node]) => node).filter((node) => node !== "whiteout" && !node.children);
    names.forEach((name, i) => {
      if (files.length > i && !root.children!.has(name)) root.children!.set(name, files[i]);
    });
    return root;
  });

/** All entries below a node, names in bytewise order. */
export function* walk(node: TreeNode, path = ""): Generator<[path: string, TreeNode | "whiteout"]> {
  for (const [name, child] of [...(node.children ?? [])].sort(([a], [b]) => (a < b ? -1 : 1))) {
    yield [`${path}/${name}`, child];
    if (child !== "whiteout") yield* walk(child, `${path}/${name}`);
  }
}
