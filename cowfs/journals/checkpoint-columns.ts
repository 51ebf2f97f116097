/**
 * The state of a journal as columns: flat arrays that are used as they lie in a checkpoint (DESIGN 3, J4).
 *
 * Loading a million files is one read, one check and one pass over the columns; an inode becomes an object when somebody
 * asks for it (inodes.ts). Inodes are in the order of their ids. What belongs to an inode lies between the end of the one
 * before and its own: its extents, its entries, the bytes of its link target. What is rare, or small, is in `rest`: changes.
 *
 * Little-endian, as every machine is that this runs on.
 */
import { ChangeReader, ChangeWriter } from "./changes.ts";
import { FieldWriter } from "./fields.ts";
import type { JournalInode, JournalState } from "./state.ts";
import { listRareChanges } from "./state-changes.ts";

const inodeDoubles = [
  "id",
  "links",
  "size",
  "parent",
  "merges",
  "nextCookie",
  "accessedSeconds",
  "modifiedSeconds",
  "changedSeconds",
  "extentsEnd",
  "entriesEnd",
  "targetEnd",
] as const;
const inodeWords = [
  "mode",
  "uid",
  "gid",
  "deviceMajor",
  "deviceMinor",
  "accessedNanoseconds",
  "modifiedNanoseconds",
  "changedNanoseconds",
] as const;
const extentDoubles = ["extentOffset", "extentLength", "extentAddress"] as const;
const entryDoubles = ["entryId", "entryCookie", "nameEnd"] as const;
const texts = ["names", "targets", "rest"] as const;

type DoubleName = (typeof inodeDoubles | typeof extentDoubles | typeof entryDoubles)[number];
type WordName = (typeof inodeWords)[number];
type TextName = (typeof texts)[number];

const doubleNames: readonly DoubleName[] = [...inodeDoubles, ...extentDoubles, ...entryDoubles];

export type Columns = Readonly<
  Record<DoubleName, Float64Array> & Record<WordName, Uint32Array> & Record<TextName, Buffer>
>;

/** The sections of a checkpoint, in their order. */
export const sectionCount = doubleNames.length + inodeWords.length + texts.length;

export function writeColumns(state: JournalState): Buffer[] {
  const doubles = makeWriters(doubleNames);
  const words = makeWriters(inodeWords);
  const [names, targets] = [new FieldWriter(), new FieldWriter()];
  const end = { extents: 0, entries: 0 };
  for (const inode of state.inodes.values()) {
    writeInode(inode, doubles, words);
    targets.text(inode.target);
    for (const { offset, length, address } of inode.extents) {
      doubles.extentOffset.number(offset);
      doubles.extentLength.number(length);
      doubles.extentAddress.number(address);
      end.extents++;
    }
    for (const { name, id, cookie } of inode.entries.after(0)) {
      names.text(name);
      doubles.entryId.number(id);
      doubles.entryCookie.number(cookie);
      doubles.nameEnd.number(names.length);
      end.entries++;
    }
    doubles.extentsEnd.number(end.extents);
    doubles.entriesEnd.number(end.entries);
    doubles.targetEnd.number(targets.length);
  }
  const rest = new ChangeWriter();
  for (const change of listRareChanges(state)) rest.change(change);
  const ofDoubles = doubleNames.map((name) => doubles[name].bytes());
  const ofWords = inodeWords.map((name) => words[name].bytes());
  return [...ofDoubles, ...ofWords, names.bytes(), targets.bytes(), rest.bytes()];
}

function writeInode(
  inode: JournalInode,
  doubles: Record<DoubleName, FieldWriter>,
  words: Record<WordName, FieldWriter>,
): void {
  doubles.id.number(inode.id);
  doubles.links.number(inode.links);
  doubles.size.number(inode.size);
  doubles.parent.number(inode.parent);
  doubles.merges.number(inode.merges);
  doubles.nextCookie.number(inode.entries.nextCookie);
  doubles.accessedSeconds.number(inode.accessed.seconds);
  doubles.modifiedSeconds.number(inode.modified.seconds);
  doubles.changedSeconds.number(inode.changed.seconds);
  words.mode.uint32(inode.mode);
  words.uid.uint32(inode.uid);
  words.gid.uint32(inode.gid);
  words.deviceMajor.uint32(inode.deviceMajor);
  words.deviceMinor.uint32(inode.deviceMinor);
  words.accessedNanoseconds.uint32(inode.accessed.nanoseconds);
  words.modifiedNanoseconds.uint32(inode.modified.nanoseconds);
  words.changedNanoseconds.uint32(inode.changed.nanoseconds);
}

function makeWriters<Name extends string>(names: readonly Name[]): Record<Name, FieldWriter> {
  return Object.fromEntries(names.map((name) => [name, new FieldWriter()])) as Record<Name, FieldWriter>;
}

/** Puts what `sections` hold into an empty state. They are used where they lie. Throws where they make no sense. */
export function loadColumns(sections: readonly Buffer[], state: JournalState): void {
  const loaded = viewColumns(sections);
  requireSense(loaded);
  state.load(loaded);
  for (const change of new ChangeReader(loaded.rest).changes()) state.apply(change);
}

/** The columns in `sections`, each of which begins at a multiple of 8 in its memory. They are used where they lie. */
export function viewColumns(sections: readonly Uint8Array[]): Columns {
  const left = [...sections];
  const columns: Record<string, Float64Array | Uint32Array | Buffer> = {};
  const take = (valueBytes: number) => {
    const { buffer, byteOffset, length } = left.shift()!;
    if (length % valueBytes !== 0) throw new Error(`a column of ${length} bytes holds no whole values`);
    return [buffer as ArrayBuffer, byteOffset, length / valueBytes] as const;
  };
  for (const name of doubleNames) columns[name] = new Float64Array(...take(8));
  for (const name of inodeWords) columns[name] = new Uint32Array(...take(4));
  for (const name of texts) columns[name] = Buffer.from(...take(1));
  return columns as Columns;
}

function requireSense(columns: Columns): void {
  const { id, extentOffset, entryId } = columns;
  for (const name of [...inodeDoubles, ...inodeWords]) requireLength(name, columns[name].length, id.length);
  for (const name of extentDoubles) requireLength(name, columns[name].length, extentOffset.length);
  for (const name of entryDoubles) requireLength(name, columns[name].length, entryId.length);
  for (let row = 0; row < id.length; row++)
    if (!(id[row] > (row === 0 ? 0 : id[row - 1]))) throw new Error(`inode ${id[row]} is out of order`);
  requireEnds("extentsEnd", columns.extentsEnd, extentOffset.length);
  requireEnds("entriesEnd", columns.entriesEnd, entryId.length);
  requireEnds("targetEnd", columns.targetEnd, columns.targets.length);
  requireEnds("nameEnd", columns.nameEnd, columns.names.length);
}

function requireLength(name: string, found: number, expected: number): void {
  if (found !== expected) throw new Error(`its column ${name} has ${found} values, not ${expected}`);
}

/** Ends grow, and the last one is the end of all. */
function requireEnds(name: string, ends: Float64Array, total: number): void {
  let last = 0;
  for (let row = 0; row < ends.length; row++) {
    if (!(ends[row] >= last)) throw new Error(`its column ${name} does not grow`);
    last = ends[row];
  }
  if (last !== total) throw new Error(`its column ${name} ends at ${last}, not at ${total}`);
}
