/**
 * Checks an index that comes from a hostile publisher, in one linear pass over each array.
 *
 * That the bytes have the signed hash says who made them, not that they make sense. What is checked here is what the
 * reader relies on without looking again:
 *
 * (V1) every count, start, length and end lies within its section, and the sections make up the file exactly;
 * (V2) the directories are a tree: every one but the root has one entry, in a directory with a lower number, and no
 *      branch is deeper than `limits.depth`; every other inode has at least one entry;
 * (V3) names are 1 to 255 bytes, none is `.`, `..` or holds `/` or NUL; in a directory they ascend strictly;
 * (V4) extents are in order, do not overlap, and end within their file's size; sizes are safe integers;
 * (V5) chunks are 1 to `limits.chunkBytes` long; types, flags, times and extended attributes are possible ones.
 */
import { blake3 } from "@napi-rs/blake-hash";
import { XenoError } from "../errors.ts";
import { FileType } from "../file-system.ts";
import {
  type Counts,
  formatVersion,
  hasBaseFlag,
  headerBytes,
  limits,
  magic,
  mapSections,
  measureIndex,
  opaqueFlag,
  readCounts,
  type Sections,
} from "./format.ts";
import { whiteout } from "./tree.ts";

/** An index that passed, with what follows from it. The arrays have one element per inode. */
export interface ValidIndex {
  readonly id: string;
  readonly base: string | undefined;
  readonly counts: Counts;
  readonly sections: Sections;
  /** Entries that name the inode; for a directory 2 and its subdirectories, as in stat(2). */
  readonly links: Uint32Array;
  /** Of a directory: the directory that holds it, and the entry that names it. The root's are 0. */
  readonly parent: Uint32Array;
  readonly nameEntry: Uint32Array;
}

/**
 * Throws `tree-damaged` or `tree-too-new`, naming the id and the reason. Keeps views of `index`: do not change it
 * afterwards. An index whose memory is not 8-byte aligned is copied.
 */
export function validateIndex(index: Buffer, expectedId: string): ValidIndex {
  const refuse: Refuse = (reason) => {
    throw new XenoError("tree-damaged", `tree ${expectedId} is damaged: ${reason}`, {
      hint: "Fetch the tree again; if it stays damaged, its publisher must publish it again.",
    });
  };
  const { base, counts, aligned } = checkHeader(index, expectedId, refuse);
  const sections = mapSections(aligned, counts);
  const valid: ValidIndex = {
    id: expectedId,
    base,
    counts,
    sections,
    links: new Uint32Array(counts.inodes),
    parent: new Uint32Array(counts.inodes),
    nameEntry: new Uint32Array(counts.inodes),
  };
  checkChunks(sections, refuse);
  checkInodes(sections, counts, refuse);
  checkNames(sections.names, sections.entryNameEnd, refuse);
  checkDirectories(valid, refuse);
  checkExtents(sections, refuse);
  checkTargets(sections, refuse);
  checkAttributes(sections, counts, refuse);
  return valid;
}

type Refuse = (reason: string) => never;

function checkHeader(index: Buffer, expectedId: string, refuse: Refuse) {
  if (index.length > limits.indexBytes) refuse(`its index of ${index.length} bytes is too large`);
  if (blake3(index).toString("hex") !== expectedId) refuse("its index does not have the hash that names it");
  if (index.length < headerBytes) refuse("its index is shorter than a header");
  if (!index.subarray(0, magic.length).equals(magic)) refuse("this is no tree index");
  const version = index.readUInt32LE(8);
  if (version > formatVersion)
    throw new XenoError(
      "tree-too-new",
      `tree ${expectedId} has format ${version}; this reader knows ${formatVersion}`,
      {
        hint: "Upgrade this machine's XenoServer software.",
      },
    );
  if (version === 0) refuse("its format version is 0");
  const flags = index.readUInt32LE(12);
  if (flags > hasBaseFlag) refuse(`unknown flags ${flags}`);
  const base = flags & hasBaseFlag ? index.toString("hex", 16, 48) : undefined;
  const counts = readCounts(index);
  for (const name of ["inodes", "entries", "extents", "chunks"] as const)
    if (counts[name] > limits[name]) refuse(`${counts[name]} ${name} are too many`);
  if (measureIndex(counts) !== index.length) refuse("its sections do not add up to its length");
  const aligned = index.byteOffset % 8 === 0 ? index : Buffer.from(new Uint8Array(index).buffer);
  return { base, counts, aligned };
}

function checkChunks({ chunkEnd }: Sections, refuse: Refuse): void {
  let end = 0;
  for (let chunk = 0; chunk < chunkEnd.length; chunk++) {
    const length = chunkEnd[chunk] - end;
    if (!(length >= 1 && length <= limits.chunkBytes) || !Number.isInteger(length))
      refuse(`the length of chunk ${chunk}`);
    end = chunkEnd[chunk];
  }
}

/** Types, metadata, and that the bodies of each kind follow each other and use up their section. */
function checkInodes(sections: Sections, counts: Counts, refuse: Refuse): void {
  const { mode, flags, size, modifiedSeconds, modifiedNanoseconds, body, bodyCount } = sections;
  if (counts.inodes === 0 || (mode[0] & FileType.mask) !== FileType.directory) refuse("its root is not a directory");
  let entries = 0;
  let extents = 0;
  let targets = 0;
  for (let inode = 0; inode < counts.inodes; inode++) {
    const type = mode[inode] & FileType.mask;
    const start = body[inode];
    const length = bodyCount[inode];
    if (flags[inode] > (type === FileType.directory ? opaqueFlag : 0)) refuse(`the flags of inode ${inode}`);
    if (!Number.isSafeInteger(modifiedSeconds[inode]) || modifiedNanoseconds[inode] >= 1e9)
      refuse(`the time of inode ${inode}`);
    if (type === FileType.regular ? !(Number.isSafeInteger(size[inode]) && size[inode] >= 0) : size[inode] !== 0)
      refuse(`the size of inode ${inode}`);
    switch (type) {
      case FileType.directory:
        if (start !== entries) refuse(`the entries of inode ${inode}`);
        entries += length;
        break;
      case FileType.regular:
        if (start !== extents) refuse(`the extents of inode ${inode}`);
        extents += length;
        break;
      case FileType.symlink:
        if (start !== targets || length === 0 || length > limits.targetBytes) refuse(`the target of inode ${inode}`);
        targets += length;
        break;
      case FileType.block:
      case FileType.character:
        break;
      case FileType.fifo:
      case FileType.socket:
        if (start !== 0 || length !== 0) refuse(`the body of inode ${inode}`);
        break;
      default:
        refuse(`the type of inode ${inode}`);
    }
  }
  if (entries !== counts.entries) refuse("entries that no directory holds");
  if (extents !== counts.extents) refuse("extents that no file holds");
  if (targets !== counts.targetBytes) refuse("link targets that no link holds");
}

function checkNames(names: Buffer, ends: Uint32Array, refuse: Refuse): void {
  let start = 0;
  for (let entry = 0; entry < ends.length; entry++) {
    const end = ends[entry];
    const length = end - start;
    if (!(length >= 1 && length <= limits.nameBytes) || end > names.length) refuse(`the length of name ${entry}`);
    for (let i = start; i < end; i++) if (names[i] === 0x2f || names[i] === 0) refuse(`name ${entry} holds / or NUL`);
    if (names[start] === 0x2e && (length === 1 || (length === 2 && names[start + 1] === 0x2e)))
      refuse(`name ${entry} is . or ..`);
    start = end;
  }
  if (start !== names.length) refuse("names that no entry has");
}

/** (V2), and the order of the names of each directory. */
function checkDirectories({ sections, counts, links, parent, nameEntry }: ValidIndex, refuse: Refuse): void {
  const { mode, body, bodyCount, entryInode, entryNameEnd, names } = sections;
  const depth = new Uint16Array(counts.inodes);
  links[0] = 2;
  for (let directory = 0; directory < counts.inodes; directory++) {
    if ((mode[directory] & FileType.mask) !== FileType.directory) {
      continue;
    }
    // Its entry, if it has one, is in a directory with a lower number and has been seen.
    if (links[directory] === 0) refuse(`directory ${directory} is not in a directory before it`);
    const first = body[directory];
    const end = first + bodyCount[directory];
    for (let entry = first; entry < end; entry++) {
      if (entry > first && !isAscending(names, entryNameEnd, entry)) refuse(`name ${entry} is not in order`);
      const inode = entryInode[entry];
      if (inode === whiteout) continue;
      if (inode >= counts.inodes) refuse(`entry ${entry} names inode ${inode}, which is none`);
      if ((mode[inode] & FileType.mask) !== FileType.directory) {
        links[inode]++;
        continue;
      }
      if (inode <= directory || links[inode] !== 0) refuse(`directory ${inode} has two places or holds itself`);
      if (depth[directory] === limits.depth) refuse(`directory ${inode} is more than ${limits.depth} levels deep`);
      depth[inode] = depth[directory] + 1;
      links[inode] = 2;
      links[directory]++;
      parent[inode] = directory;
      nameEntry[inode] = entry;
    }
  }
  for (let inode = 0; inode < counts.inodes; inode++) if (links[inode] === 0) refuse(`inode ${inode} has no name`);
}

/** Whether the name of an entry is greater, bytewise, than that of the one before. */
function isAscending(names: Buffer, ends: Uint32Array, entry: number): boolean {
  let a = entry < 2 ? 0 : ends[entry - 2];
  const aEnd = ends[entry - 1];
  let b = aEnd;
  const bEnd = ends[entry];
  for (; a < aEnd && b < bEnd; a++, b++) if (names[a] !== names[b]) return names[a] < names[b];
  return a === aEnd && b < bEnd;
}

function checkExtents(sections: Sections, refuse: Refuse): void {
  const { mode, body, bodyCount, size, extentOffset, extentChunk, extentChunkCount, chunkEnd } = sections;
  for (let inode = 0; inode < mode.length; inode++) {
    if ((mode[inode] & FileType.mask) !== FileType.regular) continue;
    let end = 0;
    for (let extent = body[inode]; extent < body[inode] + bodyCount[inode]; extent++) {
      const offset = extentOffset[extent];
      const chunk = extentChunk[extent];
      const endChunk = chunk + extentChunkCount[extent];
      if (endChunk <= chunk || endChunk > chunkEnd.length) refuse(`extent ${extent} lies outside the address space`);
      if (!Number.isSafeInteger(offset) || offset < end) refuse(`extent ${extent} is out of order`);
      end = offset + chunkEnd[endChunk - 1] - (chunk === 0 ? 0 : chunkEnd[chunk - 1]);
      if (end > size[inode]) refuse(`extent ${extent} lies beyond the end of its file`);
    }
  }
}

function checkTargets({ targets }: Sections, refuse: Refuse): void {
  if (targets.includes(0)) refuse("a link target holds NUL");
}

function checkAttributes(sections: Sections, counts: Counts, refuse: Refuse): void {
  const { attributeInode, attributeNameEnd, attributeValueEnd, attributeNames, attributeValues } = sections;
  let name = 0;
  let value = 0;
  let listBytes = 0;
  for (let i = 0; i < counts.attributes; i++) {
    const nameLength = attributeNameEnd[i] - name;
    const valueLength = attributeValueEnd[i] - value;
    const isFirst = i === 0 || attributeInode[i] !== attributeInode[i - 1];
    if (attributeInode[i] >= counts.inodes || (i > 0 && attributeInode[i] < attributeInode[i - 1]))
      refuse(`the inode of attribute ${i}`);
    if (!(nameLength >= 1 && nameLength <= limits.attributeNameBytes) || attributeNameEnd[i] > attributeNames.length)
      refuse(`the name of attribute ${i}`);
    if (
      !(valueLength >= 0 && valueLength <= limits.attributeValueBytes) ||
      attributeValueEnd[i] > attributeValues.length
    )
      refuse(`the value of attribute ${i}`);
    if (!isFirst && !isAscending(attributeNames, attributeNameEnd, i)) refuse(`attribute ${i} is not in order`);
    listBytes = (isFirst ? 0 : listBytes) + nameLength + 1;
    if (listBytes > limits.attributeListBytes) refuse(`inode ${attributeInode[i]} has too many attributes`);
    name = attributeNameEnd[i];
    value = attributeValueEnd[i];
  }
  if (name !== attributeNames.length || value !== attributeValues.length) refuse("attributes that no inode has");
  if (attributeNames.includes(0)) refuse("an attribute's name holds NUL");
}
