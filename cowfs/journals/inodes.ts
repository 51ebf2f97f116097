/**
 * The inodes of a journal: as columns since the last checkpoint was loaded, as objects from when they are first asked for.
 *
 * - (I1) An inode that was asked for is one object from then on, whoever asks: changes to it are kept.
 * - (I2) A row of the columns counts until its inode was asked for or is gone.
 * - (I3) With each round of checkpoints its columns take the place of the objects that did not change since: what a process
 *   holds as objects is what changed in the last rounds and what was asked for since, not all that it ever saw. A million
 *   objects cost V8 a pause of 300 ms of processor time, and 700 MB. So nobody keeps an inode over a turn.
 */
import type { FileId, Time } from "../file-system.ts";
import type { Columns } from "./checkpoint-columns.ts";
import { JournalEntries } from "./entries.ts";
import type { Extent } from "./extents.ts";
import type { JournalInode } from "./state.ts";

/** So many take a millisecond or two to be made of columns. */
const wideEntries = 4096;

/** Of every inode that has none: a million files need no million maps. */
export const noEntries = new JournalEntries();

export class Inodes {
  #objects = new Map<FileId, JournalInode>();
  /** Changed, made or gone since the log switched last: columns that are folded until then do not have it. */
  #changed = new Set<FileId>();
  /** Directories whose entries take long to make of columns. */
  readonly #wide = new Set<FileId>();
  #columns: Columns | undefined;
  /** 1 for each row that does not count any more. */
  #taken = new Uint8Array(0);
  #takenCount = 0;

  load(columns: Columns): void {
    this.#columns = columns;
    this.#taken = new Uint8Array(columns.id.length);
    this.#takenCount = 0;
  }

  /** Those that are objects. */
  get objectCount(): number {
    return this.#objects.size;
  }

  /** The same as `get`, for who changes it. */
  change(id: FileId): JournalInode | undefined {
    const inode = this.get(id);
    if (inode === undefined) return undefined;
    this.#changed.add(id);
    if (inode.entries.size >= wideEntries) this.#wide.add(id);
    return inode;
  }

  /** What changes from here on is not in the columns that `adopt` is given next. */
  noteSwitch(): void {
    this.#changed = new Set();
  }

  /** Takes the columns of a state as it was at the last `noteSwitch`; `rare`: ids of inodes that are not wholly in them. */
  adopt(columns: Columns, rare: Iterable<FileId>): void {
    const before = this.#objects;
    this.#objects = new Map();
    this.load(columns);
    for (const id of this.#wide) if (!before.has(id)) this.#wide.delete(id);
    for (const id of new Set([...this.#changed, ...rare, ...this.#wide])) {
      const inode = before.get(id);
      const row = this.#findRow(id);
      if (row >= 0 && (inode !== undefined || this.#changed.has(id))) this.#take(row);
      if (inode !== undefined) this.#objects.set(id, inode);
    }
  }

  get size(): number {
    return this.#objects.size + this.#taken.length - this.#takenCount;
  }

  has(id: FileId): boolean {
    return this.#objects.has(id) || this.#findRow(id) >= 0;
  }

  get(id: FileId): JournalInode | undefined {
    const known = this.#objects.get(id);
    if (known !== undefined) return known;
    const row = this.#findRow(id);
    if (row < 0) return undefined;
    const inode = this.#makeInode(row);
    this.#take(row);
    this.#objects.set(id, inode);
    return inode;
  }

  set(inode: JournalInode): void {
    this.delete(inode.id);
    this.#changed.add(inode.id);
    this.#objects.set(inode.id, inode);
  }

  delete(id: FileId): void {
    this.#changed.add(id);
    this.#wide.delete(id);
    if (this.#objects.delete(id)) return;
    const row = this.#findRow(id);
    if (row >= 0) this.#take(row);
  }

  /**
   * Where an inode's bytes lie, in a region of it (../offsets.ts); of none for one that is not there. For who looks at many
   * and changes few.
   */
  extentsOf(id: FileId, region = 0): readonly Extent[] {
    const known = this.#objects.get(id);
    if (region > 0) return known?.large?.regions.get(region) ?? [];
    if (known !== undefined) return known.extents;
    const row = this.#findRow(id);
    return row < 0 ? [] : this.#makeExtents(row);
  }

  /** The next region in which an inode has bytes; undefined after the last. */
  nextRegion(id: FileId, region: number): number | undefined {
    const { large } = this.#objects.get(id) ?? {};
    if (large === undefined) return undefined;
    const later = [...large.regions.keys()].filter((other) => other > region);
    return later.length === 0 ? undefined : Math.min(...later);
  }

  /** Those that are there now, in ascending order. */
  ids(): Float64Array {
    const ids = new Float64Array(this.size);
    let count = 0;
    for (const row of this.#rows()) ids[count++] = this.#columns!.id[row];
    for (const id of this.#objects.keys()) ids[count++] = id;
    return ids.sort();
  }

  /** All, in the order of their ids, to be read: what is not an object yet is made for this once. */
  *values(): Generator<JournalInode> {
    for (const id of this.ids()) {
      const row = this.#findRow(id);
      const inode = row < 0 ? this.#objects.get(id) : this.#makeInode(row);
      if (inode !== undefined) yield inode;
    }
  }

  /** Those that no directory names: files that were open without a name, and removed directories. */
  *nameless(): Generator<JournalInode> {
    for (const inode of this.#objects.values()) if (inode.links <= 0 && inode.parent === 0) yield inode;
    for (const row of this.#rows()) {
      const { id, links, parent } = this.#columns!;
      if (links[row] <= 0 && parent[row] === 0) yield this.get(id[row])!;
    }
  }

  /** The latest ctime of all. */
  latestChange(): Time {
    let latest: Time = { seconds: 0, nanoseconds: 0 };
    const note = (seconds: number, nanoseconds: number) => {
      if (seconds > latest.seconds || (seconds === latest.seconds && nanoseconds > latest.nanoseconds))
        latest = { seconds, nanoseconds };
    };
    for (const { changed } of this.#objects.values()) note(changed.seconds, changed.nanoseconds);
    for (const row of this.#rows()) note(this.#columns!.changedSeconds[row], this.#columns!.changedNanoseconds[row]);
    return latest;
  }

  *#rows(): Generator<number> {
    for (let row = 0; row < this.#taken.length; row++) if (this.#taken[row] === 0) yield row;
  }

  /** The row that an inode has; -1 where it has none that counts. */
  #findRow(id: FileId): number {
    if (this.#columns === undefined) return -1;
    const ids = this.#columns.id;
    let low = 0;
    let high = ids.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (ids[middle] < id) low = middle + 1;
      else high = middle;
    }
    return ids[low] === id && this.#taken[low] === 0 ? low : -1;
  }

  #take(row: number): void {
    this.#taken[row] = 1;
    this.#takenCount++;
    // The last one lets the memory go.
    if (this.#takenCount === this.#taken.length) {
      this.#columns = undefined;
      this.#taken = new Uint8Array(0);
      this.#takenCount = 0;
    }
  }

  #makeInode(row: number): JournalInode {
    const columns = this.#columns!;
    const extents = this.#makeExtents(row);
    let used = 0;
    for (const { length } of extents) used += length;
    const targetStart = row === 0 ? 0 : columns.targetEnd[row - 1];
    return {
      id: columns.id[row],
      mode: columns.mode[row],
      links: columns.links[row],
      uid: columns.uid[row],
      gid: columns.gid[row],
      size: columns.size[row],
      deviceMajor: columns.deviceMajor[row],
      deviceMinor: columns.deviceMinor[row],
      accessed: { seconds: columns.accessedSeconds[row], nanoseconds: columns.accessedNanoseconds[row] },
      modified: { seconds: columns.modifiedSeconds[row], nanoseconds: columns.modifiedNanoseconds[row] },
      changed: { seconds: columns.changedSeconds[row], nanoseconds: columns.changedNanoseconds[row] },
      parent: columns.parent[row],
      target: columns.targets.toString("latin1", targetStart, columns.targetEnd[row]),
      verifier: undefined,
      used,
      entries: this.#makeEntries(row),
      extents,
      large: undefined,
      extendedAttributes: undefined,
      merges: columns.merges[row],
    };
  }

  #makeExtents(row: number): Extent[] {
    const { extentsEnd, extentOffset, extentLength, extentAddress } = this.#columns!;
    const extents: Extent[] = [];
    for (let at = row === 0 ? 0 : extentsEnd[row - 1]; at < extentsEnd[row]; at++)
      extents.push({ offset: extentOffset[at], length: extentLength[at], address: extentAddress[at] });
    return extents;
  }

  #makeEntries(row: number): JournalEntries {
    const { entriesEnd, entryId, entryCookie, nameEnd, names, nextCookie } = this.#columns!;
    if (nextCookie[row] === 1) return noEntries;
    const entries = new JournalEntries();
    const count = entriesEnd[row] - (row === 0 ? 0 : entriesEnd[row - 1]);
    if (count >= wideEntries) this.#wide.add(this.#columns!.id[row]);
    for (let at = row === 0 ? 0 : entriesEnd[row - 1]; at < entriesEnd[row]; at++) {
      const name = names.toString("latin1", at === 0 ? 0 : nameEnd[at - 1], nameEnd[at]);
      entries.set({ name, id: entryId[at], cookie: entryCookie[at] });
    }
    entries.nextCookie = nextCookie[row];
    return entries;
  }
}
