/**
 * The state of a journal: a fold of its changes, in memory.
 *
 * - (S1) The state is a function of the sequence of changes alone: the same code applies a change when it is made and
 *   when it is replayed, and it reads no clock, no disk and no random numbers.
 * - (S2) An inode is keyed by its FileId, whether it was born here or in a layer below. So copy-up keeps identity and
 *   hard links, and a rename of a template directory is one entry.
 * - (S3) Numbers of inodes, slots and cookies only grow.
 */
import type { FileId, Name, Time } from "../file-system.ts";
import { clipRegion, largeFrom } from "../offsets.ts";
import type { Columns } from "./checkpoint-columns.ts";
import { JournalEntries } from "./entries.ts";
import { clearRange, countBytes, type Extent, layExtent } from "./extents.ts";
import { Inodes, noEntries } from "./inodes.ts";
import type { Pin } from "./pins.ts";
import { Replies } from "./replies.ts";
import { SegmentUse } from "./segment-use.ts";

/** What `put` records of an inode: all but entries, extents and extended attributes. */
export interface InodeFields {
  id: FileId;
  mode: number;
  /** Names of a file. Of a directory: how many more subdirectories it has than it shows of the layers below. */
  links: number;
  uid: number;
  gid: number;
  size: number;
  deviceMajor: number;
  deviceMinor: number;
  accessed: Time;
  modified: Time;
  changed: Time;
  /** The directory that holds this directory; 0 for anything else. */
  parent: FileId;
  /** Link target of a symlink; else empty. */
  target: Name;
  /** Of the exclusive CREATE that made it (RFC 1813 section 3.3.8), until its content or attributes change. */
  verifier: bigint | undefined;
}

/** Serves as Attributes as it stands, unless it is a directory (see `links`). */
export interface JournalInode extends InodeFields {
  used: number;
  /** Of a directory that was made here: the one below that it merges with. */
  merges: Merges;
  entries: JournalEntries;
  readonly extents: Extent[];
  /** Of a file from 2^53 bytes up, whose `size` and `extents` end there. */
  large: LargeContent | undefined;
  /** What differs from the layer below, name by name: another value, or undefined for one that was removed. */
  extendedAttributes: Map<Name, Buffer | undefined> | undefined;
}

export interface LargeContent {
  size: bigint;
  /** By region: see ../offsets.ts. */
  readonly regions: Map<number, Extent[]>;
}

/**
 * Which directory of the layers below one merges with that was made in the journal: none, since what is below was removed
 * before; the one of its name where it is now, if a layer has one; or one that it merged with before it was moved.
 */
export type Merges = 0 | typeof mergesByName | FileId;
export const mergesByName = -1;

/** A layer's place in this lineage: file ids of the layer carry the slot's number for ever. */
export interface Slot {
  readonly number: number;
  /** The directory that the layer is mounted at. */
  readonly directory: FileId;
  /** The URL as the `.mount` file or the deployment names it. */
  readonly url: string;
  /** What it resolved to when it was first opened: a tree's id. */
  readonly identity: string;
  /** The layer lies over the journal, not below it: a `.mount` that the journal holds names it before `.`. */
  readonly isOver: boolean;
}

export type Change =
  | { kind: "put"; inode: InodeFields }
  | { kind: "drop"; id: FileId }
  | { kind: "enter"; directory: FileId; name: Name; id: FileId; cookie: number }
  | { kind: "remove"; directory: FileId; name: Name }
  | { kind: "lay"; id: FileId; extent: Extent; checksum: number; region?: number | undefined }
  /** A size from 2^53 up: what lies beyond is cut off. `put` and `wrote` say 2^53 - 1. */
  | { kind: "large"; id: FileId; size: bigint }
  | { kind: "cut"; id: FileId; size: number }
  | { kind: "wrote"; id: FileId; size: number; mode: number; time: Time }
  | { kind: "attribute"; id: FileId; name: Name; value: Buffer | undefined }
  | { kind: "slot"; slot: Slot }
  /** What the `.mount` file of a directory says has changed: see `mountTimes`. */
  | { kind: "mounted"; directory: FileId; time: Time }
  | { kind: "merge"; id: FileId; merges: Merges }
  | { kind: "reply"; key: string; bytes: Buffer }
  /** Inode numbers below are not given out any more: a lost tail may have used them. */
  | { kind: "skip"; nextInode: number }
  /** Cookies below are not given out any more in the directory: entries that are gone had them. */
  | { kind: "cookies"; directory: FileId; next: number }
  | { kind: "pin"; pin: Pin }
  | { kind: "unpin"; name: string }
  /** From here on it is another journal: the pins stay with the one that it was forked from. */
  | { kind: "fork"; keepsReplies: boolean };

/** Ids below are of inodes that were born in the journal; those of the layers have a slot number above. */
export const firstLayerId = 2 ** 40;

/** No extent reaches further. */
const extentsEnd = Number(largeFrom);

export class JournalState {
  readonly inodes = new Inodes();
  readonly slots = new Map<number, Slot>();
  /** When the `.mount` of a directory last changed, which changed all directories below it too. */
  readonly mountTimes = new Map<FileId, Time>();
  readonly replies = new Replies();
  readonly pins = new Map<string, Pin>();
  readonly use = new SegmentUse();
  /** The next inode number of slot 0. */
  nextInode = 1;
  nextSlot = 1;

  /** Takes a checkpoint's inodes in, which are all that there are then. */
  load(columns: Columns): void {
    this.inodes.load(columns);
    this.use.addAll(columns.extentAddress, columns.extentLength);
  }

  apply(change: Change): void {
    switch (change.kind) {
      case "put":
        return this.#put(change.inode);
      case "drop":
        return this.#drop(change.id);
      case "enter":
        this.#entries(change.directory).set({ name: change.name, id: change.id, cookie: change.cookie });
        return;
      case "remove":
        this.#change(change.directory).entries.delete(change.name);
        return;
      case "lay":
        return this.#lay(this.#change(change.id), change.extent, change.region ?? 0);
      case "large":
        return this.#resize(this.#change(change.id), change.size);
      case "cut":
        return this.#cut(change.id, change.size);
      case "wrote": {
        const inode = this.#change(change.id);
        inode.size = change.size;
        inode.mode = change.mode;
        inode.modified = change.time;
        inode.changed = change.time;
        inode.verifier = undefined;
        return;
      }
      case "attribute": {
        const inode = this.#change(change.id);
        inode.extendedAttributes ??= new Map();
        inode.extendedAttributes.set(change.name, change.value);
        return;
      }
      case "slot":
        this.slots.set(change.slot.number, change.slot);
        this.nextSlot = Math.max(this.nextSlot, change.slot.number + 1);
        return;
      case "merge":
        this.#change(change.id).merges = change.merges;
        return;
      case "mounted":
        this.mountTimes.set(change.directory, change.time);
        return;
      case "reply":
        return this.replies.set(change.key, change.bytes);
      case "skip":
        this.nextInode = Math.max(this.nextInode, change.nextInode);
        return;
      case "cookies":
        this.#entries(change.directory).nextCookie = change.next;
        return;
      case "pin":
        this.pins.set(change.pin.name, change.pin);
        return this.use.pin(change.pin.segments);
      case "unpin":
        return this.#unpin(change.name);
      case "fork":
        for (const name of [...this.pins.keys()]) this.#unpin(name);
        if (!change.keepsReplies) this.replies.clear();
        return;
    }
  }

  /** The columns of the state as it was when the log switched last: see Inodes. */
  adopt(columns: Columns, rare: Iterable<FileId>): void {
    this.inodes.adopt(columns, rare);
  }

  /** The inode, which must be in this journal: a change that names another is damage or a bug. */
  get(id: FileId): JournalInode {
    const inode = this.inodes.get(id);
    if (inode === undefined) throw new Error(`the journal holds no inode ${id}`);
    return inode;
  }

  /** The same, for a change of it. */
  #change(id: FileId): JournalInode {
    const inode = this.inodes.change(id);
    if (inode === undefined) throw new Error(`the journal holds no inode ${id}`);
    return inode;
  }

  #put(fields: InodeFields): void {
    const known = this.inodes.change(fields.id);
    if (known !== undefined) {
      Object.assign(known, fields);
      return;
    }
    // Written out: spreading takes several times as long, and opening does it a million times.
    this.inodes.set({
      id: fields.id,
      mode: fields.mode,
      links: fields.links,
      uid: fields.uid,
      gid: fields.gid,
      size: fields.size,
      deviceMajor: fields.deviceMajor,
      deviceMinor: fields.deviceMinor,
      accessed: fields.accessed,
      modified: fields.modified,
      changed: fields.changed,
      parent: fields.parent,
      target: fields.target,
      verifier: fields.verifier,
      used: 0,
      merges: 0,
      entries: noEntries,
      extents: [],
      large: undefined,
      extendedAttributes: undefined,
    });
    if (fields.id < firstLayerId && fields.id >= this.nextInode) this.nextInode = fields.id + 1;
  }

  #unpin(name: string): void {
    const pin = this.pins.get(name);
    if (pin === undefined) throw new Error(`the journal holds no pin ${name}`);
    this.pins.delete(name);
    this.use.unpin(pin.segments);
  }

  #drop(id: FileId): void {
    const inode = this.inodes.get(id);
    if (inode === undefined) return;
    this.use.removeRange(inode.extents, 0, extentsEnd);
    for (const extents of inode.large?.regions.values() ?? []) this.use.removeRange(extents, 0, extentsEnd);
    this.inodes.delete(id);
    this.mountTimes.delete(id);
  }

  /** A directory's own entries. */
  #entries(id: FileId): JournalEntries {
    const inode = this.#change(id);
    if (inode.entries === noEntries) inode.entries = new JournalEntries();
    return inode.entries;
  }

  #lay(inode: JournalInode, extent: Extent, region: number): void {
    const extents = region === 0 ? inode.extents : regionOf(inode, region);
    this.use.removeRange(extents, extent.offset, extent.offset + extent.length);
    this.use.add(extent);
    inode.used += extent.length - countBytes(extents, extent.offset, extent.offset + extent.length);
    layExtent(extents, extent);
  }

  #cut(id: FileId, size: number): void {
    const inode = this.#change(id);
    if (inode.large !== undefined) {
      this.#resize(inode, largeFrom);
      inode.large = undefined;
    }
    this.#clear(inode, inode.extents, size);
  }

  #resize(inode: JournalInode, size: bigint): void {
    inode.large ??= { size, regions: new Map() };
    for (const [region, extents] of inode.large.regions) {
      const kept = clipRegion(region, size);
      this.#clear(inode, extents, kept);
      if (kept === 0) inode.large.regions.delete(region);
    }
    inode.large.size = size;
  }

  #clear(inode: JournalInode, extents: Extent[], from: number): void {
    this.use.removeRange(extents, from, extentsEnd);
    inode.used -= countBytes(extents, from, extentsEnd);
    clearRange(extents, from, extentsEnd);
  }
}

function regionOf({ id, large }: JournalInode, region: number): Extent[] {
  if (large === undefined) throw new Error(`inode ${id} does not reach region ${region}`);
  let extents = large.regions.get(region);
  if (extents === undefined) {
    extents = [];
    large.regions.set(region, extents);
  }
  return extents;
}
