import test from "ava";
import { Fault } from "../../../cowfs/fault.ts";
import { encodeTree } from "../../../cowfs/trees/encode.ts";
import { createDirectoryNode, createFileNode, type TreeNode } from "../../../cowfs/trees/node.ts";
import { openTree, type SealedTree } from "../../../cowfs/trees/open.ts";
import { type Piece, whiteout } from "../../../cowfs/trees/tree.ts";
import fc from "../../property.ts";
import { chunkBytes, makeChunk, makeSpace, randomTree, walk } from "./random-tree.ts";

test("a sealed tree gives back everything that it was built from", (t) => {
  fc.assert(
    fc.property(randomTree, (root) => {
      const { id, index, chunks } = encodeTree(root);
      const tree = openTree(index, makeSpace(chunks), id);
      t.is(tree.id, id);
      const numbers = new Map<TreeNode, number>([[root, 0]]);
      const links = new Map<TreeNode, number>();
      compare(root, 0, "");
      t.is(tree.inodeCount, numbers.size);
      for (const [node, count] of links) t.is(tree.links(numbers.get(node)!), count);

      function compare(node: TreeNode, inode: number, path: string): void {
        compareNode(t, tree, node, inode);
        const entries = [...walk({ ...node, children: new Map(node.children) })].filter(
          ([path]) => path.lastIndexOf("/") === 0,
        );
        t.is(tree.entryCount(inode), entries.length);
        entries.forEach(([entryPath, child], i) => {
          const name = entryPath.slice(1);
          const entry = tree.firstEntry(inode) + i;
          const found = tree.find(inode, name);
          t.is(tree.entryName(entry), name);
          t.is(tree.entryInode(entry), found);
          if (child === "whiteout") {
            t.is(found, whiteout);
            return;
          }
          t.is(numbers.get(child) ?? found, found, "hard links keep their identity");
          numbers.set(child, found);
          if (!child.children) {
            links.set(child, (links.get(child) ?? 0) + 1);
          } else {
            t.is(tree.parent(found), inode);
            t.is(tree.nameOf(found), name);
          }
          compare(child, found, `${path}/${name}`);
        });
      }
    }),
    { numRuns: 150 },
  );
});

function compareNode(
  t: { deepEqual(a: unknown, b: unknown): unknown },
  tree: SealedTree,
  node: TreeNode,
  inode: number,
) {
  t.deepEqual(
    {
      mode: tree.mode(inode),
      uid: tree.uid(inode),
      gid: tree.gid(inode),
      seconds: tree.modifiedSeconds(inode),
      nanoseconds: tree.modifiedNanoseconds(inode),
      major: tree.deviceMajor(inode),
      minor: tree.deviceMinor(inode),
      size: tree.size(inode),
      opaque: tree.isOpaque(inode),
      target: tree.linkTarget(inode),
      content: readWhole(tree, inode),
      pieces: tree.pieces(inode),
    },
    {
      mode: node.mode,
      uid: node.uid,
      gid: node.gid,
      seconds: node.modified.seconds,
      nanoseconds: node.modified.nanoseconds,
      major: node.deviceMajor,
      minor: node.deviceMinor,
      size: node.target?.length ?? node.size,
      opaque: node.opaque ?? false,
      target: node.target ?? "",
      content: contentOf(node),
      pieces: node.pieces ?? [],
    },
  );
  t.deepEqual(
    [...tree.extendedAttributes(inode)],
    [...node.attributes].sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

function contentOf(node: TreeNode): Buffer {
  const content = Buffer.alloc(node.size);
  for (const { offset, hash } of node.pieces ?? []) if (hash) chunkBytes.get(hash)!.copy(content, offset);
  return content;
}

/** Reads in steps of 61 bytes into a dirty buffer, so that holes must be zeroed. */
function readWhole(tree: SealedTree, inode: number): Buffer {
  const parts: Buffer[] = [];
  for (let offset = 0; ; offset += 61) {
    const part = Buffer.alloc(61, 0xee);
    const length = tree.read(inode, offset, 61, part, 0);
    if (length === 0) return Buffer.concat(parts);
    parts.push(part.subarray(0, length));
  }
}

test("the order in which a tree was built does not change its id, its content does", (t) => {
  fc.assert(
    fc.property(randomTree, (root) => {
      const { id } = encodeTree(root);
      t.is(encodeTree(reverse(root)).id, id);
      t.not(encodeTree({ ...root, uid: (root.uid + 1) >>> 0 }).id, id);
      t.not(encodeTree(root, "ab".repeat(32)).id, id);
    }),
    { numRuns: 30 },
  );

  function reverse(root: TreeNode): TreeNode {
    const copies = new Map<TreeNode, TreeNode>();
    const copy = (node: TreeNode | "whiteout"): TreeNode | "whiteout" => {
      if (node === "whiteout") return node;
      const known = copies.get(node);
      if (known) return known;
      const made = { ...node };
      copies.set(node, made);
      if (node.children)
        made.children = new Map([...node.children].reverse().map(([name, child]) => [name, copy(child)]));
      made.attributes = new Map([...node.attributes].reverse());
      return made;
    };
    return copy(root) as TreeNode;
  }
});

test("a base is remembered", (t) => {
  const { id, index } = encodeTree(createDirectoryNode({ permissions: 0o755 }), "ab".repeat(32));
  t.is(openTree(index, makeSpace([]), id).base, "ab".repeat(32));
});

test("a read over several extents asks for everything that is missing at once", (t) => {
  const pieces: Piece[] = [];
  let offset = 0;
  for (const seed of [3, 1, 3, 2]) {
    const { hash, bytes } = makeChunk(seed);
    pieces.push({ offset: offset + 10, length: bytes.length, hash });
    offset += 10 + bytes.length;
  }
  const root = createDirectoryNode({ permissions: 0o755 });
  root.children.set("f", createFileNode({ permissions: 0o644 }, pieces, offset));
  const { id, index } = encodeTree(root);
  const tree = openTree(
    index,
    {
      read(address) {
        throw new Fault([{ key: String(address), bring: async () => {} }]);
      },
    },
    id,
  );
  const fault = t.throws(() => tree.read(1, 0, 1000, Buffer.alloc(1000), 0), { any: true }) as unknown as Fault;
  t.is(fault.needs.length, 4);
});

test("neighbouring chunks of a file are one extent", (t) => {
  const pieces: Piece[] = [];
  let offset = 0;
  for (const seed of [3, 1, 2]) {
    const { hash, bytes } = makeChunk(seed);
    pieces.push({ offset, length: bytes.length, hash });
    offset += bytes.length;
  }
  const root = createDirectoryNode({ permissions: 0o755 });
  root.children.set("f", createFileNode({ permissions: 0o644 }, pieces, offset));
  const { id, index } = encodeTree(root);
  let reads = 0;
  const tree = openTree(index, { read: () => void reads++ }, id);
  tree.read(1, 0, offset, Buffer.alloc(offset), 0);
  t.is(reads, 1);
  t.deepEqual(tree.pieces(1), pieces);
});

const root = () => createDirectoryNode({ permissions: 0o755 });
const file = (pieces: Piece[], size: number) => createFileNode({ permissions: 0o644 }, pieces, size);
const loop = root();
loop.children.set("loop", loop);
const shared = root();
const twice = root();
twice.children.set("a", shared).set("b", shared);

for (const [what, node, message] of [
  ["a name with a slash", withChild("a/b", root()), /not possible: "a\/b"/],
  ["an empty name", withChild("", root()), /not possible/],
  ["the name ..", withChild("..", root()), /not possible: "\.\."/],
  ["a name that is not bytes", withChild("\u0142", root()), /not possible/],
  ["a directory that holds itself", loop, /\/loop .* under two names/],
  ["a directory under two names", twice, /\/b .* under two names/],
  ["content beyond the size", withChild("f", file([{ offset: 0, ...chunk(1) }], 1)), /\/f .* beyond its size/],
  [
    "pieces out of order",
    withChild(
      "f",
      file(
        [
          { offset: 9, ...chunk(1) },
          { offset: 0, ...chunk(1) },
        ],
        99,
      ),
    ),
    /order/,
  ],
  ["a root that is a file", file([], 0), /root is not a directory/],
] as [string, TreeNode, RegExp][])
  test(`${what} cannot be sealed, and the message says where`, (t) => {
    t.throws(() => encodeTree(node), { code: "tree-invalid", message });
  });

function withChild(name: string, child: TreeNode): TreeNode {
  const node = root();
  node.children.set(name, child);
  return node;
}

function chunk(seed: number) {
  const { hash, bytes } = makeChunk(seed);
  return { hash, length: bytes.length };
}
