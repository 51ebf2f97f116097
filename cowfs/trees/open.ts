/**
 * A sealed tree over its index: typed-array views and nothing else in memory, file bytes from an address space.
 *
 * Everything here relies on what `validateIndex` checked and checks none of it again.
 */
import { Fault, type Need } from "../fault.ts";
import { FileType, type Name } from "../file-system.ts";
import { type AddressSpace, ChunkTable } from "./address-space.ts";
import { opaqueFlag, type Sections } from "./format.ts";
import { type Piece, type Tree, whiteout } from "./tree.ts";
import { type ValidIndex, validateIndex } from "./validate.ts";

/** Throws `tree-damaged` or `tree-too-new`. Keeps views of `index`: do not change it afterwards. */
export function openTree(index: Buffer, data: AddressSpace, expectedId: string): SealedTree {
  const valid = validateIndex(index, expectedId);
  return new SealedTree(valid, readChunkTable(valid), data);
}

/** The chunks of the tree's address space; 22 of them or 22 million are read in no time, as views. */
export function readChunkTable({ sections }: ValidIndex): ChunkTable {
  return new ChunkTable(sections.chunkEnd, sections.chunkHash);
}

const noAttributes: ReadonlyMap<Name, Buffer> = new Map();

export class SealedTree implements Tree {
  readonly id: string;
  readonly isLive = false;
  readonly base: string | undefined;
  readonly inodeCount: number;
  readonly chunkCount: number;
  readonly contentBytes: number;
  readonly chunks: ChunkTable;
  readonly #valid: ValidIndex;
  readonly #sections: Sections;
  readonly #data: AddressSpace;

  /** `contentBytes` where it is known already. */
  constructor(valid: ValidIndex, chunks: ChunkTable, data: AddressSpace, contentBytes?: number) {
    this.id = valid.id;
    this.base = valid.base;
    this.inodeCount = valid.counts.inodes;
    this.chunkCount = chunks.count;
    this.chunks = chunks;
    this.#valid = valid;
    this.#sections = valid.sections;
    this.#data = data;
    this.contentBytes = contentBytes ?? this.#sumExtents(0, valid.counts.extents);
  }

  /** The same tree, with its bytes read from elsewhere: it shares all memory with this one. */
  over(data: AddressSpace): SealedTree {
    return new SealedTree(this.#valid, this.chunks, data, this.contentBytes);
  }

  mode(inode: number): number {
    return this.#sections.mode[inode];
  }

  uid(inode: number): number {
    return this.#sections.uid[inode];
  }

  gid(inode: number): number {
    return this.#sections.gid[inode];
  }

  has(inode: number): boolean {
    return inode < this.inodeCount;
  }

  links(inode: number): number {
    return this.#valid.links[inode];
  }

  /** A link's is the length of its target; a directory's is 0. */
  size(inode: number): number {
    if (this.#type(inode) === FileType.symlink) return this.#sections.bodyCount[inode];
    return this.#sections.size[inode];
  }

  used(inode: number): number {
    if (this.#type(inode) !== FileType.regular) return 0;
    return this.#sumExtents(this.#sections.body[inode], this.#bodyEnd(inode));
  }

  deviceMajor(inode: number): number {
    return this.#isDevice(inode) ? this.#sections.body[inode] : 0;
  }

  deviceMinor(inode: number): number {
    return this.#isDevice(inode) ? this.#sections.bodyCount[inode] : 0;
  }

  modifiedSeconds(inode: number): number {
    return this.#sections.modifiedSeconds[inode];
  }

  modifiedNanoseconds(inode: number): number {
    return this.#sections.modifiedNanoseconds[inode];
  }

  accessed(): undefined {}

  changed(): undefined {}

  isOpaque(inode: number): boolean {
    return (this.#sections.flags[inode] & opaqueFlag) !== 0;
  }

  parent(directory: number): number {
    return this.#valid.parent[directory];
  }

  nameOf(directory: number): Name {
    return directory === 0 ? "" : this.entryName(this.#valid.nameEntry[directory]);
  }

  find(directory: number, name: Name): number {
    const { body, names, entryNameEnd, entryInode } = this.#sections;
    if (this.#type(directory) !== FileType.directory) return -1;
    let low = body[directory];
    let high = this.#bodyEnd(directory);
    while (low < high) {
      const middle = (low + high) >>> 1;
      const order = compareName(names, middle === 0 ? 0 : entryNameEnd[middle - 1], entryNameEnd[middle], name);
      if (order === 0) return entryInode[middle];
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return -1;
  }

  visitEntries(directory: number, visit: (name: Name, inode: number) => void): void {
    const first = this.firstEntry(directory);
    const end = first + this.entryCount(directory);
    for (let entry = first; entry < end; entry++) visit(this.entryName(entry), this.entryInode(entry));
  }

  countDirectories(directory: number): number {
    const first = this.firstEntry(directory);
    const end = first + this.entryCount(directory);
    let count = 0;
    for (let entry = first; entry < end; entry++) {
      const inode = this.entryInode(entry);
      if (inode !== whiteout && this.#type(inode) === FileType.directory) count++;
    }
    return count;
  }

  firstEntry(directory: number): number {
    return this.#sections.body[directory];
  }

  entryCount(directory: number): number {
    return this.#type(directory) === FileType.directory ? this.#sections.bodyCount[directory] : 0;
  }

  entryName(entry: number): Name {
    const { names, entryNameEnd } = this.#sections;
    return names.toString("latin1", entry === 0 ? 0 : entryNameEnd[entry - 1], entryNameEnd[entry]);
  }

  /** May be `whiteout`. */
  entryInode(entry: number): number {
    return this.#sections.entryInode[entry];
  }

  /** Empty for anything but a symbolic link. */
  linkTarget(inode: number): Name {
    if (this.#type(inode) !== FileType.symlink) return "";
    return this.#sections.targets.toString("latin1", this.#sections.body[inode], this.#bodyEnd(inode));
  }

  extendedAttributes(inode: number): ReadonlyMap<Name, Buffer> {
    const { attributeInode, attributeNameEnd, attributeValueEnd, attributeNames, attributeValues } = this.#sections;
    let i = findFirst(attributeInode, inode);
    if (attributeInode[i] !== inode) return noAttributes;
    const attributes = new Map<Name, Buffer>();
    for (; attributeInode[i] === inode; i++) {
      const name = attributeNames.toString("latin1", i === 0 ? 0 : attributeNameEnd[i - 1], attributeNameEnd[i]);
      const value = attributeValues.subarray(i === 0 ? 0 : attributeValueEnd[i - 1], attributeValueEnd[i]);
      attributes.set(name, Buffer.from(value));
    }
    return attributes;
  }

  read(inode: number, offset: number, length: number, target: Buffer, targetOffset: number): number {
    const { size, extentOffset } = this.#sections;
    if (this.#type(inode) !== FileType.regular || offset >= size[inode]) return 0;
    const end = Math.min(offset + length, size[inode]);
    const stop = this.#bodyEnd(inode);
    let needs: Need[] | undefined;
    let at = offset;
    for (let extent = this.#findExtent(inode, offset); extent < stop && extentOffset[extent] < end; extent++) {
      const from = Math.max(at, extentOffset[extent]);
      const to = Math.min(end, extentOffset[extent] + this.#extentLength(extent));
      target.fill(0, targetOffset + at - offset, targetOffset + from - offset);
      const address = this.#extentAddress(extent) + from - extentOffset[extent];
      try {
        this.#data.read(address, to - from, target, targetOffset + from - offset);
      } catch (thrown) {
        if (!(thrown instanceof Fault)) throw thrown;
        needs = needs ? [...needs, ...thrown.needs] : [...thrown.needs];
      }
      at = to;
    }
    if (needs) throw new Fault(needs);
    target.fill(0, targetOffset + at - offset, targetOffset + end - offset);
    return end - offset;
  }

  pieces(inode: number): Piece[] {
    const { extentOffset, extentChunk, extentChunkCount, size } = this.#sections;
    const pieces: Piece[] = [];
    if (this.#type(inode) !== FileType.regular) return pieces;
    let at = 0;
    const skipTo = (offset: number) => {
      if (offset > at) pieces.push({ offset: at, length: offset - at, hash: undefined });
      at = offset;
    };
    for (let extent = this.#sections.body[inode]; extent < this.#bodyEnd(inode); extent++) {
      skipTo(extentOffset[extent]);
      for (let i = 0; i < extentChunkCount[extent]; i++) {
        const chunk = extentChunk[extent] + i;
        const length = this.chunks.length(chunk);
        pieces.push({ offset: at, length, hash: this.chunks.hash(chunk) });
        at += length;
      }
    }
    skipTo(size[inode]);
    return pieces;
  }

  #type(inode: number): number {
    return this.#sections.mode[inode] & FileType.mask;
  }

  #isDevice(inode: number): boolean {
    const type = this.#type(inode);
    return type === FileType.block || type === FileType.character;
  }

  #bodyEnd(inode: number): number {
    return this.#sections.body[inode] + this.#sections.bodyCount[inode];
  }

  /** The first extent of a file that ends after `offset`, or the file's last extent + 1. */
  #findExtent(inode: number, offset: number): number {
    let low = this.#sections.body[inode];
    let high = this.#bodyEnd(inode);
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#sections.extentOffset[middle] + this.#extentLength(middle) <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #extentAddress(extent: number): number {
    return this.chunks.address(this.#sections.extentChunk[extent]);
  }

  #extentLength(extent: number): number {
    const chunk = this.#sections.extentChunk[extent];
    return this.chunks.address(chunk + this.#sections.extentChunkCount[extent]) - this.chunks.address(chunk);
  }

  #sumExtents(first: number, end: number): number {
    let sum = 0;
    for (let extent = first; extent < end; extent++) sum += this.#extentLength(extent);
    return sum;
  }
}

/** Bytewise order of the name at `start`..`end` against `name`: negative, zero or positive. */
function compareName(names: Buffer, start: number, end: number, name: Name): number {
  const length = Math.min(end - start, name.length);
  for (let i = 0; i < length; i++) {
    const difference = names[start + i] - name.charCodeAt(i);
    if (difference !== 0) return difference;
  }
  return end - start - name.length;
}

/** The first place in an ascending array that holds `value` or more. */
function findFirst(array: Uint32Array, value: number): number {
  let low = 0;
  let high = array.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (array[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
