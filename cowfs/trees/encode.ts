/**
 * Seals a tree: lays nodes out as an index in canonical order, so that the same content gives the same id.
 *
 * Inodes are numbered depth first, names in bytewise order, the root 0; a hard link has the number of its first name.
 * The tree's unique chunks lie end to end in the order in which the inodes use them first.
 */
import { blake3 } from "@napi-rs/blake-hash";
import { XenoError } from "../errors.ts";
import { FileType, type Name } from "../file-system.ts";
import { type Counts, limits, mapSections, measureIndex, opaqueFlag, type Sections, writeHeader } from "./format.ts";
import type { TreeNode } from "./node.ts";
import { whiteout } from "./tree.ts";

export interface EncodedTree {
  /** BLAKE3 of the index, 64 hex digits. */
  readonly id: string;
  readonly index: Buffer;
  /** The unique chunks in the order of the address space. */
  readonly chunks: readonly { readonly hash: string; readonly length: number }[];
}

/** `base` is the id of the tree this one lies over. Throws `tree-invalid` naming the path that cannot be sealed. */
export function encodeTree(root: TreeNode, base?: string): EncodedTree {
  if (base !== undefined && !/^[0-9a-f]{64}$/.test(base)) refuse("/", `its base ${base} is not a tree id`);
  const inodes = numberInodes(root);
  const chunks = new ChunkSpace();
  const counts = count(inodes, chunks);
  const size = measureIndex(counts);
  if (size > limits.indexBytes) refuse("/", `its index would be ${size} bytes; the limit is ${limits.indexBytes}`);
  const index = Buffer.from(new ArrayBuffer(size));
  writeHeader(index, base, counts);
  writeSections(mapSections(index, counts), inodes, chunks);
  return { id: blake3(index).toString("hex"), index, chunks: chunks.list };
}

type Entry = readonly [Name, TreeNode | "whiteout"];

/** A node with its number, its entries in order, and a path for messages. */
interface Inode {
  readonly node: TreeNode;
  readonly path: string;
  readonly entries: readonly Entry[];
  readonly extents: Extent[];
}

interface Extent {
  readonly offset: number;
  readonly chunk: number;
  count: number;
}

/** All inodes in canonical order; their place in the map is their number. */
function numberInodes(root: TreeNode): Map<TreeNode, Inode> {
  const inodes = new Map<TreeNode, Inode>();
  const waiting: { node: TreeNode; path: string; depth: number }[] = [{ node: root, path: "/", depth: 0 }];
  if ((root.mode & FileType.mask) !== FileType.directory) refuse("/", "the root is not a directory");
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const { node, path, depth } = next;
    if (inodes.has(node)) {
      if (node.children) refuse(path, "a directory under two names");
      continue;
    }
    if (depth > limits.depth) refuse(path, `more than ${limits.depth} levels deep`);
    checkNode(node, path);
    const entries = sortEntries(node, path);
    inodes.set(node, { node, path, entries, extents: [] });
    for (let i = entries.length - 1; i >= 0; i--) {
      const [name, child] = entries[i];
      if (child !== "whiteout")
        waiting.push({ node: child, path: `${path === "/" ? "" : path}/${name}`, depth: depth + 1 });
    }
  }
  return inodes;
}

function sortEntries(node: TreeNode, path: string): Entry[] {
  const entries = [...(node.children ?? [])];
  for (const [name] of entries) {
    if (name === "" || name === "." || name === ".." || /[/\0]/.test(name) || !isBytes(name, limits.nameBytes))
      refuse(path, `holds a name that is not possible: ${JSON.stringify(name)}`);
  }
  return entries.sort(([a], [b]) => (a < b ? -1 : 1));
}

const fileTypes = new Set<number>(Object.values(FileType).filter((type) => type !== FileType.mask));

function checkNode(node: TreeNode, path: string): void {
  const type = node.mode & FileType.mask;
  if (!fileTypes.has(type) || node.mode > 0xffff || node.mode < 0) refuse(path, `mode ${node.mode.toString(8)}`);
  const expect = (present: boolean, owner: number, what: string) => {
    if (present !== (type === owner)) refuse(path, present ? `${what} on another type` : `no ${what}`);
  };
  expect(node.children !== undefined, FileType.directory, "children");
  expect(node.target !== undefined, FileType.symlink, "link target");
  if (node.pieces && type !== FileType.regular) refuse(path, "content on another type than a regular file");
  if (node.opaque && type !== FileType.directory) refuse(path, "opaque, but not a directory");
  if (node.target === "" || (node.target && (node.target.includes("\0") || !isBytes(node.target, limits.targetBytes))))
    refuse(path, "its link target is empty, too long or not bytes");
  for (const value of [node.uid, node.gid, node.deviceMajor, node.deviceMinor])
    if (value !== value >>> 0) refuse(path, `an owner or device number that is not 32 bits: ${value}`);
  const isDevice = type === FileType.block || type === FileType.character;
  if (!isDevice && (node.deviceMajor || node.deviceMinor)) refuse(path, "device numbers on another type");
  if (!Number.isSafeInteger(node.size) || node.size < 0 || (node.size > 0 && type !== FileType.regular))
    refuse(path, `size ${node.size}`);
  const { seconds, nanoseconds } = node.modified;
  if (!Number.isSafeInteger(seconds) || !(nanoseconds >= 0 && nanoseconds < 1e9) || nanoseconds !== nanoseconds >>> 0)
    refuse(path, `modified at ${seconds} s and ${nanoseconds} ns`);
  let listBytes = 0;
  for (const [name, value] of node.attributes) {
    listBytes += name.length + 1;
    if (name === "" || name.includes("\0") || !isBytes(name, limits.attributeNameBytes))
      refuse(path, `an extended attribute's name is empty, too long or not bytes: ${JSON.stringify(name)}`);
    if (value.length > limits.attributeValueBytes) refuse(path, `extended attribute ${name} is too long`);
  }
  if (listBytes > limits.attributeListBytes) refuse(path, "too many extended attributes");
}

/** The unique chunks, numbered in the order of their first use. */
class ChunkSpace {
  readonly list: { hash: string; length: number }[] = [];
  readonly #numbers = new Map<string, number>();

  number(hash: string, length: number, path: string): number {
    const known = this.#numbers.get(hash);
    if (known !== undefined) {
      if (this.list[known].length !== length) refuse(path, `two lengths for chunk ${hash}`);
      return known;
    }
    if (!/^[0-9a-f]{64}$/.test(hash) || !(length > 0 && length <= limits.chunkBytes) || !Number.isInteger(length))
      refuse(path, `chunk ${hash} of ${length} bytes`);
    this.#numbers.set(hash, this.list.length);
    return this.list.push({ hash, length }) - 1;
  }
}

/** Numbers the chunks, joins neighbours to extents, and counts what the sections will hold. */
function count(inodes: Map<TreeNode, Inode>, chunks: ChunkSpace): Counts {
  const counts: Counts = {
    inodes: inodes.size,
    entries: 0,
    extents: 0,
    chunks: 0,
    nameBytes: 0,
    targetBytes: 0,
    attributes: 0,
    attributeNameBytes: 0,
    attributeValueBytes: 0,
  };
  for (const { node, path, entries, extents } of inodes.values()) {
    layExtents(node, path, extents, chunks);
    counts.extents += extents.length;
    counts.entries += entries.length;
    for (const [name] of entries) counts.nameBytes += name.length;
    counts.targetBytes += node.target?.length ?? 0;
    counts.attributes += node.attributes.size;
    for (const [name, value] of node.attributes) {
      counts.attributeNameBytes += name.length;
      counts.attributeValueBytes += value.length;
    }
  }
  counts.chunks = chunks.list.length;
  for (const name of ["inodes", "entries", "extents", "chunks"] as const)
    if (counts[name] > limits[name]) refuse("/", `${counts[name]} ${name}; the limit is ${limits[name]}`);
  return counts;
}

function layExtents(node: TreeNode, path: string, extents: Extent[], chunks: ChunkSpace): void {
  let end = 0;
  let last: Extent | undefined;
  for (const piece of node.pieces ?? []) {
    if (!(piece.offset >= end) || !Number.isSafeInteger(piece.offset)) refuse(path, "its pieces are not in order");
    const follows = piece.offset === end;
    end = piece.offset + piece.length;
    if (end > node.size) refuse(path, `content up to ${end}, beyond its size of ${node.size}`);
    if (piece.hash === undefined) {
      last = undefined;
      continue;
    }
    const chunk = chunks.number(piece.hash, piece.length, path);
    if (last && follows && last.chunk + last.count === chunk) {
      last.count++;
    } else {
      last = { offset: piece.offset, chunk, count: 1 };
      extents.push(last);
    }
  }
}

function writeSections(to: Sections, inodes: Map<TreeNode, Inode>, chunks: ChunkSpace): void {
  const numbers = new Map([...inodes.keys()].map((node, number) => [node, number]));
  const written = {
    entries: 0,
    extents: 0,
    names: 0,
    targets: 0,
    attributes: 0,
    attributeNames: 0,
    attributeValues: 0,
  };
  let inode = 0;
  for (const { node, entries, extents } of inodes.values()) {
    to.mode[inode] = node.mode;
    to.uid[inode] = node.uid;
    to.gid[inode] = node.gid;
    to.size[inode] = node.size;
    to.modifiedSeconds[inode] = node.modified.seconds;
    to.modifiedNanoseconds[inode] = node.modified.nanoseconds;
    to.flags[inode] = node.opaque ? opaqueFlag : 0;
    writeBody(inode, node, entries.length, extents.length);
    for (const [name, child] of entries) {
      written.names += to.names.write(name, written.names, "latin1");
      to.entryNameEnd[written.entries] = written.names;
      to.entryInode[written.entries++] = child === "whiteout" ? whiteout : numbers.get(child)!;
    }
    for (const { offset, chunk, count } of extents) {
      to.extentOffset[written.extents] = offset;
      to.extentChunk[written.extents] = chunk;
      to.extentChunkCount[written.extents++] = count;
    }
    for (const [name, value] of [...node.attributes].sort(([a], [b]) => (a < b ? -1 : 1))) {
      written.attributeNames += to.attributeNames.write(name, written.attributeNames, "latin1");
      written.attributeValues += value.copy(to.attributeValues, written.attributeValues);
      to.attributeNameEnd[written.attributes] = written.attributeNames;
      to.attributeValueEnd[written.attributes] = written.attributeValues;
      to.attributeInode[written.attributes++] = inode;
    }
    inode++;
  }
  let end = 0;
  chunks.list.forEach(({ hash, length }, chunk) => {
    to.chunkHash.write(hash, 32 * chunk, "hex");
    end += length;
    to.chunkEnd[chunk] = end;
  });

  function writeBody(inode: number, node: TreeNode, entries: number, extents: number): void {
    if (node.children) {
      to.body[inode] = written.entries;
      to.bodyCount[inode] = entries;
    } else if (node.target !== undefined) {
      to.body[inode] = written.targets;
      to.bodyCount[inode] = node.target.length;
      written.targets += to.targets.write(node.target, written.targets, "latin1");
    } else if ((node.mode & FileType.mask) === FileType.regular) {
      to.body[inode] = written.extents;
      to.bodyCount[inode] = extents;
    } else {
      to.body[inode] = node.deviceMajor;
      to.bodyCount[inode] = node.deviceMinor;
    }
  }
}

/** Whether every char is one byte (latin1) and there are at most `most`. */
function isBytes(text: string, most: number): boolean {
  return text.length <= most && /^[\0-\xff]*$/.test(text);
}

function refuse(path: string, reason: string): never {
  throw new XenoError("tree-invalid", `${path} cannot be sealed: ${reason}`, {
    hint: "Repair or leave out that file and seal again.",
  });
}
