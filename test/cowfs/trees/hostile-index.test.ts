import { blake3 } from "@napi-rs/blake-hash";
import test from "ava";
import { XenoError } from "../../../cowfs/errors.ts";
import { FileType } from "../../../cowfs/file-system.ts";
import { encodeTree } from "../../../cowfs/trees/encode.ts";
import { limits, mapSections, measureIndex, readCounts, type Sections } from "../../../cowfs/trees/format.ts";
import {
  createDirectoryNode,
  createFileNode,
  createSpecialNode,
  createSymlinkNode,
  type TreeNode,
} from "../../../cowfs/trees/node.ts";
import { openTree } from "../../../cowfs/trees/open.ts";
import { type Tree, whiteout } from "../../../cowfs/trees/tree.ts";
import fc from "../../property.ts";
import { makeChunk, makeSpace } from "./random-tree.ts";

const hash = (index: Buffer) => blake3(index).toString("hex");
const data = {
  read: (_address: number, length: number, target: Buffer, at: number) => void target.fill(1, at, at + length),
};

/**
 * Inodes: 0 /, 1 /a (directory), 2 /a/f (two chunks, a hole between), 3 /a/p (fifo), 4 /b (directory), 5 /b/cc
 * (directory), 6 /l (symlink), 7 /n (device). Entries: 0 a, 1 b, 2 hard (to 2), 3 l, 4 n, 5 w (whiteout), 6 a/f, 7 a/p,
 * 8 b/cc. Extents: 0 and 1, of /a/f.
 */
function makeSample(): TreeNode {
  const directory = () =>
    createDirectoryNode({
      permissions: 0o755,
      attributes: new Map([
        ["user.a", Buffer.from("1")],
        ["user.b", Buffer.from("2")],
      ]),
    });
  const [one, two] = [makeChunk(1), makeChunk(2)];
  const file = createFileNode(
    { permissions: 0o644 },
    [
      { offset: 0, length: one.bytes.length, hash: one.hash },
      { offset: 1000, length: two.bytes.length, hash: two.hash },
    ],
    5000,
  );
  const root = directory();
  const a = directory();
  const b = directory();
  a.children.set("f", file).set("p", createSpecialNode({ permissions: 0o644 }, FileType.fifo, 0, 0));
  b.children.set("cc", directory());
  root.children
    .set("a", a)
    .set("b", b)
    .set("hard", file)
    .set("l", createSymlinkNode({ permissions: 0o777 }, "a/f"))
    .set("n", createSpecialNode({ permissions: 0o600 }, FileType.block, 8, 1))
    .set("w", "whiteout");
  return root;
}

const sample = encodeTree(makeSample(), "cd".repeat(32));

function change(run: (sections: Sections, index: Buffer) => void): Buffer {
  const index = Buffer.from(new Uint8Array(sample.index).buffer);
  run(mapSections(index, readCounts(index)), index);
  return index;
}

test("the sample itself opens", (t) => {
  const tree = openTree(sample.index, makeSpace(sample.chunks), sample.id);
  t.is(tree.entryName(8), "cc");
  t.is(tree.entryInode(6), tree.entryInode(2));
  checkSound(tree);
});

const mutations: [string, RegExp, (sections: Sections, index: Buffer) => void][] = [
  ["another magic", /no tree index/, (_, index) => index.write("Y")],
  ["version 0", /version is 0/, (_, index) => index.writeUInt32LE(0, 8)],
  ["unknown flags", /flags/, (_, index) => index.writeUInt32LE(3, 12)],
  ["a billion inodes", /inodes are too many/, (_, index) => index.writeUInt32LE(1e9, 48)],
  ["a name section beyond the end", /add up/, (_, index) => index.writeUInt32LE(0xffffffff, 64)],
  ["sections that overlap", /add up/, (_, index) => index.writeUInt32LE(readCounts(index).nameBytes - 1, 64)],
  ["no inodes", /./, (_, index) => index.writeUInt32LE(0, 48)],
  [
    "a root that is a file",
    /root/,
    (s) => {
      s.mode[0] = FileType.regular;
    },
  ],
  [
    "a type that is none",
    /type of inode 3/,
    (s) => {
      s.mode[3] = 0o150644;
    },
  ],
  [
    "a directory that holds itself",
    /directory 4 has two places or holds itself/,
    (s) => {
      s.entryInode[8] = 4;
    },
  ],
  [
    "a cycle",
    /directory/,
    (s) => {
      s.entryInode[8] = 1;
    },
  ],
  [
    "a directory that holds the root",
    /directory 0/,
    (s) => {
      s.entryInode[8] = 0;
    },
  ],
  [
    "a directory in two places",
    /directory 1 has two places/,
    (s) => {
      s.entryInode[1] = 1;
    },
  ],
  [
    "an orphan directory",
    /directory 5/,
    (s) => {
      s.entryInode[8] = whiteout;
    },
  ],
  [
    "an orphan file",
    /inode 3 has no name/,
    (s) => {
      s.entryInode[7] = whiteout;
    },
  ],
  [
    "an inode that is none",
    /names inode 8/,
    (s) => {
      s.entryInode[7] = 8;
    },
  ],
  [
    "entries shared by two directories",
    /entries of inode 4/,
    (s) => {
      s.body[4] = s.body[1];
    },
  ],
  [
    "entries beyond the section",
    /no directory|entries/,
    (s) => {
      s.bodyCount[5] = 9;
    },
  ],
  [
    "entries that nobody holds",
    /no directory|entries/,
    (s) => {
      s.bodyCount[4] = 0;
    },
  ],
  ["names out of order", /not in order/, (s) => s.names.write("z", 0)],
  ["the same name twice", /not in order/, (s) => s.names.write("b", 0)],
  ["the name .", /is \. or \.\./, (s) => s.names.write(".", 0)],
  ["a name with a slash", /holds \/ or NUL/, (s) => s.names.write("/", 0)],
  ["a name with NUL", /holds \/ or NUL/, (s) => s.names.write("\0", 0)],
  [
    "an empty name",
    /length of name 0/,
    (s) => {
      s.entryNameEnd[0] = 0;
    },
  ],
  [
    "a name that runs backwards",
    /length of name/,
    (s) => {
      s.entryNameEnd[3] = 1;
    },
  ],
  [
    "a name beyond the section",
    /length of name/,
    (s) => {
      s.entryNameEnd[8] = 200;
    },
  ],
  [
    "names left over",
    /names that no entry has/,
    (s) => {
      s.entryNameEnd[8]--;
    },
  ],
  [
    "a size that is not whole",
    /size of inode 2/,
    (s) => {
      s.size[2] = 0.5;
    },
  ],
  [
    "a size that is not a number",
    /size of inode 2/,
    (s) => {
      s.size[2] = Number.NaN;
    },
  ],
  [
    "a size of 2^53",
    /size of inode 2/,
    (s) => {
      s.size[2] = 2 ** 53;
    },
  ],
  [
    "a negative size",
    /size of inode 2/,
    (s) => {
      s.size[2] = -1;
    },
  ],
  [
    "a directory with a size",
    /size of inode 1/,
    (s) => {
      s.size[1] = 1;
    },
  ],
  [
    "a time that is not whole",
    /time of inode 2/,
    (s) => {
      s.modifiedSeconds[2] = Number.POSITIVE_INFINITY;
    },
  ],
  [
    "nanoseconds beyond a second",
    /time of inode 2/,
    (s) => {
      s.modifiedNanoseconds[2] = 1e9;
    },
  ],
  [
    "an opaque file",
    /flags of inode 2/,
    (s) => {
      s.flags[2] = 1;
    },
  ],
  [
    "an unknown flag",
    /flags of inode 1/,
    (s) => {
      s.flags[1] = 2;
    },
  ],
  [
    "a fifo with a body",
    /body of inode 3/,
    (s) => {
      s.body[3] = 1;
    },
  ],
  [
    "extents of another file",
    /extents of inode 2/,
    (s) => {
      s.body[2] = 1;
    },
  ],
  [
    "content beyond the size",
    /beyond the end of its file/,
    (s) => {
      s.size[2] = 1000;
    },
  ],
  [
    "extents out of order",
    /out of order/,
    (s) => {
      s.extentOffset[0] = 2000;
    },
  ],
  [
    "extents that overlap",
    /out of order/,
    (s) => {
      s.extentOffset[1] = 10;
    },
  ],
  [
    "an offset that is not a number",
    /out of order/,
    (s) => {
      s.extentOffset[0] = Number.NaN;
    },
  ],
  [
    "a negative offset",
    /out of order/,
    (s) => {
      s.extentOffset[0] = -1;
    },
  ],
  [
    "a chunk outside the space",
    /outside the address space/,
    (s) => {
      s.extentChunk[1] = 2;
    },
  ],
  [
    "chunk numbers that wrap around",
    /outside the address space/,
    (s) => {
      s.extentChunkCount[1] = 0xffffffff;
    },
  ],
  [
    "an extent of nothing",
    /outside the address space/,
    (s) => {
      s.extentChunkCount[1] = 0;
    },
  ],
  [
    "an empty chunk",
    /length of chunk 1/,
    (s) => {
      s.chunkEnd[1] = s.chunkEnd[0];
    },
  ],
  [
    "a chunk that is too long",
    /length of chunk 1/,
    (s) => {
      s.chunkEnd[1] = limits.chunkBytes * 2;
    },
  ],
  [
    "an address that is not a number",
    /length of chunk 0/,
    (s) => {
      s.chunkEnd[0] = Number.NaN;
    },
  ],
  [
    "an empty link target",
    /target of inode 6/,
    (s) => {
      s.bodyCount[6] = 0;
    },
  ],
  [
    "a link target beyond the section",
    /link targets|target/,
    (s) => {
      s.bodyCount[6] = 4;
    },
  ],
  ["a link target with NUL", /link target holds NUL/, (s) => s.targets.write("\0", 1)],
  [
    "an attribute of no inode",
    /inode of attribute 7/,
    (s) => {
      s.attributeInode[7] = 99;
    },
  ],
  [
    "attributes out of order",
    /inode of attribute/,
    (s) => {
      s.attributeInode[0] = 5;
    },
  ],
  ["the same attribute twice", /attribute 1 is not in order/, (s) => s.attributeNames.write("user.a", 6)],
  ["an attribute's name with NUL", /NUL/, (s) => s.attributeNames.write("\0", 5)],
  [
    "an attribute's value beyond the section",
    /value of attribute/,
    (s) => {
      s.attributeValueEnd[7] = 4000;
    },
  ],
  [
    "attributes left over",
    /attributes that no inode has/,
    (s) => {
      s.attributeValueEnd[7]--;
    },
  ],
];

for (const [what, reason, run] of mutations)
  test(`an index with ${what} is refused, though its hash is right`, (t) => {
    const index = change(run);
    t.throws(() => openTree(index, data, hash(index)), { code: "tree-damaged", message: reason });
  });

test("an index of a later version says that the reader is too old", (t) => {
  const index = change((_, index) => index.writeUInt32LE(2, 8));
  t.throws(() => openTree(index, data, hash(index)), { code: "tree-too-new", message: new RegExp(hash(index)) });
});

test("an index cut short or prolonged is refused, though its hash is right", (t) => {
  for (let length = 0; length < sample.index.length; length++) {
    const index = sample.index.subarray(0, length);
    t.throws(() => openTree(index, data, hash(index)), { code: "tree-damaged" });
  }
  const longer = Buffer.concat([sample.index, Buffer.alloc(1)]);
  t.throws(() => openTree(longer, data, hash(longer)), { code: "tree-damaged" });
});

test("directories nested too deep are refused", (t) => {
  let node = createDirectoryNode({ permissions: 0o755 });
  for (let depth = 0; depth <= limits.depth; depth++) {
    const outer = createDirectoryNode({ permissions: 0o755 });
    outer.children.set("d", node);
    node = outer;
  }
  t.throws(() => encodeTree(node), { code: "tree-invalid", message: /levels deep/ });
});

test("an index that is not aligned in memory opens all the same", (t) => {
  const memory = Buffer.alloc(sample.index.length + 3);
  sample.index.copy(memory, 3);
  checkSound(openTree(memory.subarray(3), data, sample.id));
  t.pass();
});

test("every flipped byte is refused for its hash", (t) => {
  for (let at = 0; at < sample.index.length; at++) {
    const index = Buffer.from(sample.index);
    index[at] ^= 1 << (at % 8);
    t.throws(() => openTree(index, data, sample.id), { code: "tree-damaged", message: /hash/ });
  }
});

test("with its hash made right, a changed index is refused or sound, and never a crash", (t) => {
  let opened = 0;
  const tryOpen = (index: Buffer) => {
    let tree: Tree;
    try {
      tree = openTree(index, data, hash(index));
    } catch (error) {
      if (error instanceof XenoError && /^tree-(damaged|too-new)$/.test(error.code)) return;
      throw error;
    }
    opened++;
    checkSound(tree);
  };
  for (let at = 0; at < sample.index.length; at++)
    for (const mask of [1, 0x80, 0xff]) {
      const index = Buffer.from(sample.index);
      index[at] ^= mask;
      tryOpen(index);
    }
  const byte = fc.tuple(fc.nat(sample.index.length - 1), fc.integer({ min: 0, max: 255 }));
  fc.assert(
    fc.property(fc.array(byte, { minLength: 2, maxLength: 6 }), (bytes) => {
      const index = Buffer.from(sample.index);
      for (const [at, value] of bytes) index[at] = value;
      tryOpen(index);
    }),
    { numRuns: 3000 },
  );
  t.true(opened > 100, "some changes are harmless, such as another owner");
});

/** Walks a tree as its readers do, and asserts all that they rely on, independently of the validator. */
function checkSound(tree: Tree): void {
  const assert = (condition: boolean, what: string) => {
    if (!condition) throw new Error(`an unsound tree was opened: ${what}`);
  };
  const links = new Map<number, number>();
  const waiting = [0];
  const buffer = Buffer.alloc(7000);
  for (let directory = waiting.pop(); directory !== undefined; directory = waiting.pop()) {
    let previous = "";
    const first = tree.firstEntry(directory);
    for (let entry = first; entry < first + tree.entryCount(directory); entry++) {
      const name = tree.entryName(entry);
      const inode = tree.entryInode(entry);
      assert(name > previous && name.length <= 255, "the order of names");
      assert(name !== "." && name !== ".." && !/[/\0]/.test(name), "names");
      assert(tree.find(directory, name) === inode, "find");
      previous = name;
      if (inode === whiteout) continue;
      assert(inode < tree.inodeCount, "inode numbers");
      const seen = links.get(inode) ?? 0;
      links.set(inode, seen + 1);
      if ((tree.mode(inode) & FileType.mask) !== FileType.directory) continue;
      assert(seen === 0 && inode !== 0, "a directory with one place");
      assert(tree.parent(inode) === directory && tree.nameOf(inode) === name, "parents");
      waiting.push(inode);
    }
  }
  for (let inode = 1; inode < tree.inodeCount; inode++) {
    assert(links.has(inode), "every inode has a name");
    const isDirectory = (tree.mode(inode) & FileType.mask) === FileType.directory;
    if (!isDirectory) assert(tree.links(inode) === links.get(inode), "link counts");
    assert(!tree.linkTarget(inode).includes("\0"), "link targets");
    tree.extendedAttributes(inode);
    const size = tree.size(inode);
    assert(Number.isSafeInteger(size) && size >= 0 && tree.used(inode) <= size, "sizes");
    let end = 0;
    for (const { offset, length } of tree.pieces(inode)) {
      assert(offset === end && length > 0, "pieces");
      end += length;
    }
    const read = tree.read(inode, 0, buffer.length, buffer, 0);
    const isRegular = (tree.mode(inode) & FileType.mask) === FileType.regular;
    assert(read === (isRegular ? Math.min(size, buffer.length) : 0), "reads");
  }
}

test("the size that an index must have is the size that its sections take", (t) => {
  const counts = readCounts(sample.index);
  const { attributeValues } = mapSections(sample.index, counts);
  t.is(measureIndex(counts), sample.index.length);
  t.is(attributeValues.byteOffset + attributeValues.length, sample.index.byteOffset + sample.index.length);
});
