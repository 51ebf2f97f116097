/**
 * The index of a sealed tree, byte for byte.
 *
 * A header of 96 bytes, then flat arrays without gaps, widest elements first, so that every array is aligned and the
 * counts in the header alone say where each one lies. Little-endian, as are all machines that this runs on.
 *
 *     0  "XENOTREE"      8  version u32     12  flags u32 (1: has a base)      16  base, 32 bytes
 *    48  nine counts u32, in the order of `countNames`                         84  zeros
 *
 * What an inode has beside its metadata is its *body*, a start and a count whose meaning depends on its type:
 * directory: entries; regular: extents; symlink: bytes of the target; device: major and minor; else zeros.
 * Bodies of one kind follow each other in the order of the inodes without gaps, so that none is shared or lost.
 * An extent is a run of consecutive chunks at an offset of the file; chunk c is at address `chunkEnd[c - 1]`.
 * Link counts, parents and sizes that follow from the rest are not stored: nobody can lie about them.
 *
 * Versions: a reader reads every version up to its own and refuses later ones (`tree-too-new`). Anything that changes
 * the meaning of a byte gets a new version; the writer writes the newest.
 */
export const formatVersion = 1;
export const magic = Buffer.from("XENOTREE", "latin1");
export const headerBytes = 96;
export const hasBaseFlag = 1;
export const opaqueFlag = 1;

/** Bounds on everything that is read from an index; a tree beyond them cannot be sealed either. */
export const limits = {
  indexBytes: 2 ** 30,
  inodes: 2 ** 24,
  entries: 2 ** 25,
  extents: 2 ** 25,
  chunks: 2 ** 24,
  chunkBytes: 2 ** 20,
  nameBytes: 255,
  targetBytes: 4095,
  /** As Linux: XATTR_NAME_MAX, XATTR_SIZE_MAX, XATTR_LIST_MAX. */
  attributeNameBytes: 255,
  attributeValueBytes: 65536,
  attributeListBytes: 65536,
  /** Levels of directories below the root. */
  depth: 4096,
} as const;

const countNames = [
  "inodes",
  "entries",
  "extents",
  "chunks",
  "nameBytes",
  "targetBytes",
  "attributes",
  "attributeNameBytes",
  "attributeValueBytes",
] as const;

export type Counts = Record<(typeof countNames)[number], number>;

/** Views of the arrays of one index. Ends are exclusive and count from the start of their section. */
export interface Sections {
  size: Float64Array;
  modifiedSeconds: Float64Array;
  extentOffset: Float64Array;
  chunkEnd: Float64Array;
  uid: Uint32Array;
  gid: Uint32Array;
  modifiedNanoseconds: Uint32Array;
  body: Uint32Array;
  bodyCount: Uint32Array;
  entryInode: Uint32Array;
  entryNameEnd: Uint32Array;
  extentChunk: Uint32Array;
  extentChunkCount: Uint32Array;
  attributeInode: Uint32Array;
  attributeNameEnd: Uint32Array;
  attributeValueEnd: Uint32Array;
  mode: Uint16Array;
  flags: Buffer;
  chunkHash: Buffer;
  names: Buffer;
  targets: Buffer;
  attributeNames: Buffer;
  attributeValues: Buffer;
}

/** Views of the sections of `index`, which must be `measureIndex(counts)` bytes and 8-byte aligned in its memory. */
export function mapSections(index: Buffer, counts: Counts): Sections {
  let at = index.byteOffset + headerBytes;
  const take = <T>(make: (memory: ArrayBufferLike, at: number, length: number) => T, width: number, length: number) => {
    const view = make(index.buffer, at, length);
    at += width * length;
    return view;
  };
  const doubles = (length: number) => take((memory, at, length) => new Float64Array(memory, at, length), 8, length);
  const words = (length: number) => take((memory, at, length) => new Uint32Array(memory, at, length), 4, length);
  const halves = (length: number) => take((memory, at, length) => new Uint16Array(memory, at, length), 2, length);
  const bytes = (length: number) => take((memory, at, length) => Buffer.from(memory, at, length), 1, length);
  return {
    size: doubles(counts.inodes),
    modifiedSeconds: doubles(counts.inodes),
    extentOffset: doubles(counts.extents),
    chunkEnd: doubles(counts.chunks),
    uid: words(counts.inodes),
    gid: words(counts.inodes),
    modifiedNanoseconds: words(counts.inodes),
    body: words(counts.inodes),
    bodyCount: words(counts.inodes),
    entryInode: words(counts.entries),
    entryNameEnd: words(counts.entries),
    extentChunk: words(counts.extents),
    extentChunkCount: words(counts.extents),
    attributeInode: words(counts.attributes),
    attributeNameEnd: words(counts.attributes),
    attributeValueEnd: words(counts.attributes),
    mode: halves(counts.inodes),
    flags: bytes(counts.inodes),
    chunkHash: bytes(counts.chunks * 32),
    names: bytes(counts.nameBytes),
    targets: bytes(counts.targetBytes),
    attributeNames: bytes(counts.attributeNameBytes),
    attributeValues: bytes(counts.attributeValueBytes),
  };
}

/** Bytes of an index with these counts: what `mapSections` maps. */
export function measureIndex(counts: Counts): number {
  return (
    headerBytes +
    counts.inodes * (2 * 8 + 5 * 4 + 2 + 1) +
    counts.entries * (2 * 4) +
    counts.extents * (8 + 2 * 4) +
    counts.chunks * (8 + 32) +
    counts.attributes * (3 * 4) +
    counts.nameBytes +
    counts.targetBytes +
    counts.attributeNameBytes +
    counts.attributeValueBytes
  );
}

export function writeHeader(index: Buffer, base: string | undefined, counts: Counts): void {
  magic.copy(index, 0);
  index.writeUInt32LE(formatVersion, 8);
  index.writeUInt32LE(base === undefined ? 0 : hasBaseFlag, 12);
  index.write(base ?? "", 16, "hex");
  countNames.forEach((name, i) => {
    index.writeUInt32LE(counts[name], 48 + 4 * i);
  });
}

export function readCounts(index: Buffer): Counts {
  return Object.fromEntries(countNames.map((name, i) => [name, index.readUInt32LE(48 + 4 * i)])) as Counts;
}
