/**
 * What every operation of the union shares: the journal over the stack of layers, inode by inode and name by name.
 *
 * - (U3) An inode of a layer below is shown as it is there until the journal holds one with the same id; from then on
 *   the journal's is the truth. Copy-up is exactly the making of that inode; it moves no data.
 * - (U4) An entry of the journal hides the entry of the same name below; a hidden entry (whiteout) shows nothing.
 * - (U5) A removed inode of a layer below stays in the journal as gone, so that its handles stay stale.
 */
import { FileSystemError, type XenoError } from "../errors.ts";
import { type Attributes, type FileId, FileType, type Name, type Time } from "../file-system.ts";
import { hidden } from "../journals/entries.ts";
import { lowerAddress } from "../journals/extents.ts";
import type { Journal } from "../journals/journal.ts";
import { type InodeFields, type JournalInode, mergesByName } from "../journals/state.ts";
import { createClock, isLater } from "./clock.ts";
import { countSubdirectories } from "./covered-listing.ts";
import { type Cover, Covers, isNameCovered, lookThrough } from "./covers.ts";
import { makeFileId, rootId, slotOf } from "./file-ids.ts";
import { HeldMountFiles } from "./held-mount-files.ts";
import { mountFileName } from "./mount-file.ts";
import { isDirectory, isRegular, isSymlink } from "./permissions.ts";
import { type Branch, type ResolveLayer, Stack, type StackedDirectory } from "./stack.ts";
import { ThroughOperations } from "./through-operations.ts";

export class UnionCore {
  readonly journal: Journal;
  readonly stack: Stack;
  readonly covers: Covers;
  readonly operations = new ThroughOperations();
  readonly clock: () => Time;
  /** How often each inode is held open by a client that says so (FUSE). */
  readonly retained = new Map<FileId, number>();
  readonly #mountFiles = new HeldMountFiles(this);
  #mountsChanged = false;
  #hasMoved = false;
  readonly #openedAt: Time;

  constructor(journal: Journal, resolve: ResolveLayer, onMountError: (error: XenoError) => void) {
    this.journal = journal;
    this.stack = new Stack(
      journal,
      resolve,
      { readMountFile: (...asked) => this.#mountFiles.read(...asked) },
      onMountError,
    );
    this.covers = new Covers(this.stack, {
      parent: (directory) => this.parent(directory),
      nameIn: (parent, directory) => this.nameIn(parent, directory),
      findEntry: (directory, name) => this.findEntry(directory, name),
      findBelow: (directory, name) => this.findBelow(directory, name),
      mode: (id) => this.#mode(id),
      merges: (directory) => journal.state.inodes.get(directory)?.merges ?? 0,
      mountTime: (directory) => journal.state.mountTimes.get(directory),
    });
    this.clock = createClock(journal.state.inodes.latestChange());
    this.#openedAt = this.clock();
  }

  /** The journal's inode, if it has one. Throws ESTALE for one that is gone. */
  find(id: FileId): JournalInode | undefined {
    this.journal.throwIfFailed();
    const inode = this.journal.state.inodes.get(id);
    if (inode !== undefined && this.isGone(inode)) throw new FileSystemError("ESTALE");
    if (inode === undefined && slotOf(id) === 0) throw new FileSystemError("ESTALE");
    return inode;
  }

  isGone(inode: JournalInode): boolean {
    const named = isDirectory(inode.mode) ? inode.parent !== 0 : inode.links > 0;
    return !named && !this.retained.has(inode.id);
  }

  /** The attributes as they are now. Of a file in the journal they are its inode itself: see `getAttributes`. */
  attributes(id: FileId): Attributes {
    const inode = this.find(id);
    if (inode === undefined) return this.#lowerAttributes(id);
    if (!isDirectory(inode.mode)) return inode;
    return this.#directoryAttributes(inode);
  }

  /** The directory's layers; ENOTDIR for anything else. */
  directory(id: FileId): StackedDirectory {
    const inode = this.find(id);
    const mode = inode?.mode ?? this.stack.mode(id);
    if (!isDirectory(mode)) throw new FileSystemError("ENOTDIR");
    const directory = this.stack.directory(id);
    if (directory.cover === undefined) this.covers.of(directory);
    return directory;
  }

  /** The id under a name in a directory, or undefined. */
  findEntry(directory: StackedDirectory, name: Name): FileId | undefined {
    if (directory.mountError !== undefined && name !== mountFileName)
      throw new FileSystemError("EIO", directory.mountError.message);
    const { layers, hidesAll } = directory.cover!;
    if (layers.length === 0 || name === mountFileName) return this.findBelow(directory, name);
    const { directories, other, stops } = lookThrough(layers, name);
    if (other !== undefined) return other;
    const below = hidesAll || stops ? undefined : this.findBelow(directory, name);
    if (directories.length === 0) return below;
    if (below !== undefined && isDirectory(this.#mode(below))) return below;
    return makeFileId(directories[0].slot, directories[0].inode);
  }

  /** What the journal and the layers below it hold under a name. */
  findBelow(directory: StackedDirectory, name: Name): FileId | undefined {
    const entry = this.journal.state.inodes.get(directory.id)?.entries.get(name);
    if (entry !== undefined) return entry.id === hidden ? undefined : entry.id;
    return this.stack.find(directory, name);
  }

  /** Throws EROFS where a layer over the journal would hide a change of the name (U7). */
  requireUncovered(directory: StackedDirectory, name: Name): void {
    if (isNameCovered(directory.cover!, name)) throw new FileSystemError("EROFS");
  }

  /** Throws EROFS for what a layer over the journal shows (U7). */
  requireOwn(id: FileId, mode: number): void {
    if (this.stack.isOver(id)) throw new FileSystemError("EROFS");
    if (isDirectory(mode) && this.directory(id).cover!.shown !== undefined) throw new FileSystemError("EROFS");
  }

  /** The directory that holds a directory; 0 for one that was removed while somebody had it open. */
  parent(directory: FileId): FileId {
    const inode = this.find(directory);
    if (this.stack.isOver(directory)) return this.covers.findParent(directory) || this.stack.parent(directory);
    return inode === undefined ? this.stack.parent(directory) : inode.parent;
  }

  isRemoved(directory: FileId): boolean {
    return this.find(directory)?.parent === 0;
  }

  /** Looks at all that `copyUp` will need, where it may fault: call it before the first change. */
  requireCopyUp(id: FileId): void {
    if (this.find(id) === undefined && isDirectory(this.attributes(id).mode)) this.parent(id);
  }

  /** The journal's inode of an id, made from the layer's where there is none. For use within a transaction. */
  copyUp(id: FileId): JournalInode {
    const known = this.find(id);
    if (known !== undefined) return known;
    const lower = this.#layerAttributes(id);
    const directory = isDirectory(lower.mode);
    const fields: InodeFields = {
      id,
      mode: lower.mode,
      links: directory ? 0 : lower.links,
      uid: lower.uid,
      gid: lower.gid,
      size: lower.size,
      deviceMajor: lower.deviceMajor,
      deviceMinor: lower.deviceMinor,
      accessed: lower.accessed,
      modified: lower.modified,
      changed: lower.changed,
      parent: directory ? this.parent(id) : 0,
      target: isSymlink(lower.mode) ? this.#lowerTarget(id) : "",
      verifier: undefined,
    };
    this.journal.apply({ kind: "put", inode: fields });
    if (isRegular(lower.mode) && lower.size > 0)
      this.journal.apply({
        kind: "lay",
        id,
        extent: { offset: 0, length: lower.size, address: lowerAddress },
        checksum: 0,
      });
    return this.journal.state.get(id);
  }

  /** Records an inode's fields after a change of some of them. */
  put(inode: JournalInode, change: Partial<InodeFields>): void {
    const { id, mode, links, uid, gid, size, deviceMajor, deviceMinor } = inode;
    const { accessed, modified, changed, parent, target, verifier } = inode;
    const fields = { id, mode, links, uid, gid, size, deviceMajor, deviceMinor, accessed, modified, changed };
    this.journal.apply({ kind: "put", inode: { ...fields, parent, target, verifier, ...change } });
  }

  /** Makes `name` mean `id`, and notes the change in the directory's times. */
  enter(directory: StackedDirectory, name: Name, id: FileId, subdirectories: number, time: Time): void {
    const inode = this.copyUp(directory.id);
    this.put(inode, { links: inode.links + subdirectories, modified: time, changed: time });
    const cookie = inode.entries.get(name)?.cookie ?? inode.entries.nextCookie;
    this.journal.apply({ kind: "enter", directory: directory.id, name, id, cookie });
    if (name !== mountFileName) return;
    this.#noteMount(directory.id, time);
    this.#mountFiles.hold(id, directory.id);
  }

  /**
   * Lets a new or moved directory merge with what a `.mount` lays below its name later on. Not with what was there and
   * was removed. Within a transaction, before it is entered.
   */
  mergeByName(id: FileId, directory: StackedDirectory, name: Name): void {
    const merges = this.stack.find(directory, name) === undefined ? mergesByName : 0;
    if (this.journal.state.get(id).merges !== merges) this.journal.apply({ kind: "merge", id, merges });
  }

  /** Takes a name away: what the layers show under it is hidden. */
  leave(directory: StackedDirectory, name: Name, subdirectories: number, time: Time): void {
    const inode = this.copyUp(directory.id);
    this.put(inode, { links: inode.links + subdirectories, modified: time, changed: time });
    if (this.stack.find(directory, name) !== undefined) {
      const cookie = inode.entries.nextCookie;
      this.journal.apply({ kind: "enter", directory: directory.id, name, id: hidden, cookie });
    } else this.journal.apply({ kind: "remove", directory: directory.id, name });
    if (name === mountFileName) this.#noteMount(directory.id, time);
  }

  /**
   * Notes that what a directory's `.mount` says has changed. It counts from the next transaction on: see `settle`. All
   * directories from there down show the time as that of their own change, so that clients ask for their names again.
   */
  #noteMount(directory: FileId, time: Time): void {
    this.#mountsChanged = true;
    this.journal.apply({ kind: "mounted", directory, time });
  }

  /** Notes that a file's bytes have changed. Within a transaction. */
  noteContent(id: FileId, time: Time): void {
    for (const directory of this.#mountFiles.directoriesOf(id)) this.#noteMount(directory, time);
  }

  /** Notes that a directory was moved. */
  noteMove(): void {
    if (this.covers.isUsed || this.journal.state.mountTimes.size > 0) this.#hasMoved = true;
  }

  /** Called after each transaction. Not within: looking a directory up anew may fault, and changes must not. */
  settle(): void {
    if (this.#mountsChanged) this.stack.forget();
    else if (this.#hasMoved) this.stack.forgetCovers();
    this.#mountsChanged = false;
    this.#hasMoved = false;
  }

  isDirectory(id: FileId): boolean {
    return isDirectory(this.#mode(id));
  }

  #mode(id: FileId): number {
    return this.journal.state.inodes.get(id)?.mode ?? this.stack.mode(id);
  }

  #lowerTarget(id: FileId): Name {
    const { tree, inode } = this.stack.locate(id);
    return tree.linkTarget(inode);
  }

  #lowerAttributes(id: FileId): Attributes {
    if (!isDirectory(this.stack.mode(id))) return this.#layerAttributes(id);
    const directory = this.directory(id);
    const attributes = this.#layerAttributes(id, directory.cover!.shown);
    const links = 2 + countSubdirectories(this, directory);
    return { ...attributes, links, ...shownTimes(directory.cover!, attributes) };
  }

  /** What one layer says of an inode, or of the directory that is shown in its place. */
  #layerAttributes(id: FileId, shown?: Branch): Attributes {
    const { tree, inode } = shown ?? this.stack.locate(id);
    const modified = { seconds: tree.modifiedSeconds(inode), nanoseconds: tree.modifiedNanoseconds(inode) };
    const mode = tree.mode(inode);
    return {
      id,
      mode,
      links: tree.links(inode),
      uid: tree.uid(inode),
      gid: tree.gid(inode),
      size: isDirectory(mode) ? directoryBytes : tree.size(inode),
      used: tree.used(inode),
      deviceMajor: tree.deviceMajor(inode),
      deviceMinor: tree.deviceMinor(inode),
      accessed: tree.accessed(inode) ?? modified,
      modified,
      // A tree may claim any time; a later change must not have an earlier one.
      changed: tree.changed(inode) ?? (isLater(modified, this.#openedAt) ? this.#openedAt : modified),
    };
  }

  #directoryAttributes(inode: JournalInode): Attributes {
    const directory = inode.parent === 0 ? undefined : this.directory(inode.id);
    const cover = directory?.cover;
    const { mode, uid, gid } = cover?.shown === undefined ? inode : this.#layerAttributes(inode.id, cover.shown);
    const { modified, changed } = cover?.mountedAbove === undefined ? inode : shownTimes(cover, inode);
    return {
      id: inode.id,
      mode,
      links: directory === undefined ? 0 : 2 + inode.links + countSubdirectories(this, directory),
      uid,
      gid,
      size: directoryBytes,
      used: directoryBytes,
      deviceMajor: 0,
      deviceMinor: 0,
      accessed: inode.accessed,
      modified,
      changed,
    };
  }

  /** True where the journal's inode shows exactly the bytes of the layer below: after chmod, chown, link or rename. */
  hasLayerContent({ id, size, extents }: JournalInode): boolean {
    if (slotOf(id) === 0) return false;
    const { tree, inode } = this.stack.locate(id);
    if (size !== tree.size(inode)) return false;
    if (size === 0) return true;
    const [extent] = extents;
    return extents.length === 1 && extent.address === lowerAddress && extent.offset === 0 && extent.length === size;
  }

  /** What a directory of a directory is called there. */
  nameIn(directory: FileId, id: FileId): Name {
    const name = this.journal.state.inodes.get(directory)?.entries.nameOf(id);
    if (name !== undefined) return name;
    const { tree, inode } = this.stack.locate(id);
    return tree.nameOf(inode);
  }
}

/** What a directory says its size is; programs only ask whether it is 0. */
const directoryBytes = 4096;

/** A `.mount` that changed here has changed the directory; one above has changed what its names mean. */
function shownTimes({ mounted, mountedAbove }: Cover, { modified, changed }: { modified: Time; changed: Time }) {
  return {
    modified: mounted !== undefined && isLater(mounted, modified) ? mounted : modified,
    changed: mountedAbove !== undefined && isLater(mountedAbove, changed) ? mountedAbove : changed,
  };
}

/** The root's fields in a journal that has no layer below it. */
export function emptyRoot(time: Time): InodeFields {
  return {
    id: rootId,
    mode: FileType.directory | 0o755,
    links: 0,
    uid: 0,
    gid: 0,
    size: 0,
    deviceMajor: 0,
    deviceMinor: 0,
    accessed: time,
    modified: time,
    changed: time,
    parent: rootId,
    target: "",
    verifier: undefined,
  };
}
