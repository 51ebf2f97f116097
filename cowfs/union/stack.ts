/**
 * The layers below the journal: which trees lie over each other at a directory, and what a name means there.
 *
 * Layers are immutable, so what a place in them holds depends only on which layers are mounted where. The journal
 * matters in one way: a `.mount` file that it holds or hides decides what is mounted at that directory.
 *
 * - (U1) A slot is allotted when a layer is first mounted at a directory and is recorded before any id of it leaves;
 *   it is never given to another layer.
 * - (U2) The directory that an id names is found from the id alone: up the layer's own parents to where it is mounted,
 *   and down again by name. So handles work after a restart without any table.
 */
import { FileSystemError, XenoError } from "../errors.ts";
import { Fault, type Need } from "../fault.ts";
import type { FileId, Name } from "../file-system.ts";
import type { Journal } from "../journals/journal.ts";
import type { Slot } from "../journals/state.ts";
import { type Tree, whiteout } from "../trees/tree.ts";
import { baseSlot, inodeOf, makeFileId, maxSlots, rootId, slotOf } from "./file-ids.ts";
import { maxMountFileBytes, mountFileName, parseMountFile } from "./mount-file.ts";
import { isDirectory } from "./permissions.ts";

/** Opens the layer that a URL names; `pinned` is the tree's id where this lineage has resolved the URL before. */
export type ResolveLayer = (url: string, pinned: string | undefined, signal: AbortSignal) => Promise<Tree>;

/** A directory of one layer. */
export interface Branch {
  readonly slot: number;
  readonly tree: Tree;
  readonly inode: number;
}

export interface StackedDirectory {
  readonly id: FileId;
  /** Strongest first: what the layers hold at this place, then what `.mount` adds. */
  readonly branches: readonly Branch[];
  /** Why `.mount` could not be honoured: until it is mended, only the file itself can be reached. */
  readonly mountError: XenoError | undefined;
  listing: LowerEntry[] | undefined;
  subdirectories: number | undefined;
}

export interface LowerEntry {
  readonly name: Name;
  readonly id: FileId;
}

const maxNesting = 16;
const maxCachedDirectories = 100_000;

/** What the stack asks of the union: the text of the `.mount` file that is seen at a directory, if any. */
export interface MountFileReader {
  readMountFile(directory: FileId, own: readonly Branch[]): string | undefined;
}

export class Stack {
  readonly #journal: Journal;
  readonly #resolve: ResolveLayer;
  readonly #reader: MountFileReader;
  readonly #onMountError: (error: XenoError) => void;
  readonly #trees = new Map<number, Tree>();
  readonly #directories = new Map<FileId, StackedDirectory>();

  constructor(
    journal: Journal,
    resolve: ResolveLayer,
    reader: MountFileReader,
    onMountError: (error: XenoError) => void,
  ) {
    this.#journal = journal;
    this.#resolve = resolve;
    this.#reader = reader;
    this.#onMountError = onMountError;
  }

  /** Mounts the layer that lies below the journal at the root. */
  async mountBase(url: string, signal: AbortSignal): Promise<void> {
    const known = this.#journal.state.slots.get(baseSlot);
    if (known !== undefined && known.url !== url)
      throw new XenoError("layer-changed", `this journal lies over ${known.url}, not over ${url}`, {
        hint: "Name the same URL again, or use a new journal.",
      });
    this.#attach(rootId, url, known, await this.#resolve(url, known?.identity, signal), baseSlot);
  }

  /** The layer and inode behind an id of a layer below. Throws ESTALE, or a Fault while the layer is being opened. */
  locate(id: FileId): Branch {
    const slot = slotOf(id);
    const tree = this.#trees.get(slot) ?? this.#reopen(slot);
    const inode = inodeOf(id);
    if (inode >= tree.inodeCount) throw new FileSystemError("ESTALE");
    return { slot, tree, inode };
  }

  /** The layers at a directory, whether the journal still shows the directory or not. */
  directory(id: FileId): StackedDirectory {
    return this.#directories.get(id) ?? this.#open(id);
  }

  /** The directory that holds a directory of a layer below, by the layers alone. */
  parent(id: FileId): FileId {
    const { slot, tree, inode } = this.locate(id);
    return inode === 0 ? id : this.#holding(slot, tree, tree.parent(inode)).id;
  }

  /** What the layers show under a name, or undefined. */
  find(directory: StackedDirectory, name: Name): FileId | undefined {
    for (const branch of directory.branches) {
      const inode = branch.tree.find(branch.inode, name);
      if (inode === whiteout) return undefined;
      if (inode >= 0) return makeFileId(branch.slot, inode);
    }
    return undefined;
  }

  /** What the layers show in a directory, in an order that stays while the layers do. */
  list(directory: StackedDirectory): LowerEntry[] {
    if (directory.listing !== undefined) return directory.listing;
    const listing: LowerEntry[] = [];
    const seen = new Set<Name>();
    const many = directory.branches.length > 1;
    for (const { slot, tree, inode } of directory.branches) {
      const first = tree.firstEntry(inode);
      const end = first + tree.entryCount(inode);
      for (let entry = first; entry < end; entry++) {
        const name = tree.entryName(entry);
        if (many) {
          if (seen.has(name)) continue;
          seen.add(name);
        }
        const found = tree.entryInode(entry);
        if (found !== whiteout) listing.push({ name, id: makeFileId(slot, found) });
      }
    }
    directory.listing = listing;
    return listing;
  }

  /** How many directories the layers show in a directory. */
  countSubdirectories(directory: StackedDirectory): number {
    if (directory.subdirectories === undefined) {
      let count = 0;
      for (const { id } of this.list(directory)) {
        const { tree, inode } = this.locate(id);
        if (isDirectory(tree.mode(inode))) count++;
      }
      directory.subdirectories = count;
    }
    return directory.subdirectories;
  }

  /** Forgets what was derived from `.mount` files; called when one has changed. */
  forget(): void {
    this.#directories.clear();
  }

  #open(id: FileId): StackedDirectory {
    const own = this.#ownBranches(id);
    let branches = own;
    let mountError: XenoError | undefined;
    try {
      const text = this.#reader.readMountFile(id, own);
      if (text !== undefined)
        branches = [...own, ...this.#mounted(id, text, [], `${mountFileName} of directory ${id}`)];
    } catch (error) {
      if (!(error instanceof XenoError)) throw error;
      mountError = error;
      this.#onMountError(error);
    }
    const directory = { id, branches, mountError, listing: undefined, subdirectories: undefined };
    if (this.#directories.size >= maxCachedDirectories) this.#directories.clear();
    this.#directories.set(id, directory);
    return directory;
  }

  #ownBranches(id: FileId): Branch[] {
    const slot = slotOf(id);
    if (slot === 0) return [];
    if (id === rootId && !this.#journal.state.slots.has(baseSlot)) return [];
    const branch = this.locate(id);
    if (id === rootId) return [branch];
    if (branch.inode === 0 || !isDirectory(branch.tree.mode(branch.inode))) throw new FileSystemError("ESTALE");
    const above = this.#holding(slot, branch.tree, branch.tree.parent(branch.inode));
    const merged = mergeBranches(above.branches, branch.tree.nameOf(branch.inode));
    if (merged.length === 0 || makeFileId(merged[0].slot, merged[0].inode) !== id) throw new FileSystemError("ESTALE");
    return merged;
  }

  /** The merged directory that a directory of one layer is part of (U2). */
  #holding(slot: number, tree: Tree, inode: number): StackedDirectory {
    if (inode === 0) return this.directory(slot === baseSlot ? rootId : this.#slot(slot).directory);
    const above = this.#holding(slot, tree, tree.parent(inode));
    const merged = mergeBranches(above.branches, tree.nameOf(inode));
    if (merged.length === 0) throw new FileSystemError("ESTALE");
    return this.directory(makeFileId(merged[0].slot, merged[0].inode));
  }

  /** The branches that a `.mount` text adds, each followed by what its own root's `.mount` adds. */
  #mounted(at: FileId, text: string, outer: readonly string[], path: string): Branch[] {
    const needs: Need[] = [];
    const branches: Branch[] = [];
    for (const { url, line } of parseMountFile(text, path)) {
      if (outer.includes(url) || outer.length >= maxNesting)
        throw new XenoError("mount-cycle", `${path}:${line}: '${url}' is already mounted here: ${outer.join(" > ")}`);
      const slot = this.#findSlot(at, url)?.number;
      const tree = slot === undefined ? undefined : this.#trees.get(slot);
      if (slot === undefined || tree === undefined) {
        needs.push(this.#need(at, url));
        continue;
      }
      branches.push({ slot, tree, inode: 0 });
      const inner = readTreeFile(tree, mountFileName);
      if (inner !== undefined)
        branches.push(...this.#mounted(at, inner, [...outer, url], `${mountFileName} of ${url}`));
    }
    if (needs.length > 0) throw new Fault(needs);
    return branches;
  }

  #need(at: FileId, url: string): Need {
    return { key: `layer ${at} ${url}`, bring: (signal) => this.#mount(at, url, signal) };
  }

  async #mount(at: FileId, url: string, signal: AbortSignal): Promise<void> {
    const pinned = this.#findSlot(at, url)?.identity;
    const tree = await this.#resolve(url, pinned, signal);
    this.#attach(at, url, this.#findSlot(at, url), tree, this.#nextSlot());
  }

  #attach(at: FileId, url: string, known: Slot | undefined, tree: Tree, free: number): void {
    if (known !== undefined && tree.id !== known.identity)
      throw new XenoError(
        "layer-changed",
        `'${url}' is now tree ${tree.id}, but this journal was made over ${known.identity}`,
        { hint: "Publish the journal and deploy the result over the new tree." },
      );
    const slot = known ?? { number: free, directory: at, url, identity: tree.id };
    if (known === undefined)
      this.#journal.transact(undefined, () => {
        this.#journal.apply({ kind: "slot", slot });
        return Buffer.alloc(0);
      });
    this.#trees.set(slot.number, tree);
    this.forget();
  }

  #nextSlot(): number {
    const number = Math.max(this.#journal.state.nextSlot, baseSlot + 1);
    if (number >= maxSlots)
      throw new XenoError("too-many-layers", `this journal has had ${maxSlots} layers mounted in its life`, {
        hint: "Publish it and deploy the result: that starts a new journal.",
      });
    return number;
  }

  /** The slot that a `.mount` line was given before. */
  #findSlot(at: FileId, url: string): Slot | undefined {
    for (const slot of this.#journal.state.slots.values())
      if (slot.directory === at && slot.url === url && slot.number !== baseSlot) return slot;
    return undefined;
  }

  #slot(number: number): Slot {
    const slot = this.#journal.state.slots.get(number);
    if (slot === undefined) throw new FileSystemError("ESTALE");
    return slot;
  }

  /** After a restart a handle may name a layer before its directory has been walked. */
  #reopen(number: number): never {
    const { directory, url } = this.#slot(number);
    if (number === baseSlot) throw new Error("the base layer is opened before anything is served");
    throw new Fault([this.#need(directory, url)]);
  }
}

/** The directories that layers merge under a name, strongest first; a lone file where the strongest is one. */
function mergeBranches(branches: readonly Branch[], name: Name): Branch[] {
  const merged: Branch[] = [];
  for (const { slot, tree, inode } of branches) {
    const found = tree.find(inode, name);
    if (found === whiteout) break;
    if (found < 0) continue;
    if (!isDirectory(tree.mode(found))) {
      if (merged.length === 0) merged.push({ slot, tree, inode: found });
      break;
    }
    merged.push({ slot, tree, inode: found });
    if (tree.isOpaque(found)) break;
  }
  return merged;
}

/** The text of a small file in a layer's root, or undefined. Throws a Fault while its bytes are not here. */
export function readTreeFile(tree: Tree, name: Name): string | undefined {
  const inode = tree.find(0, name);
  return inode < 0 || inode === whiteout ? undefined : readMountText(tree, inode);
}

export function readMountText(tree: Tree, inode: number): string {
  const size = tree.size(inode);
  if (size > maxMountFileBytes)
    throw new XenoError("mount-malformed", `a ${mountFileName} file of ${size} bytes is too large`, {
      hint: `It may have ${maxMountFileBytes} bytes.`,
    });
  const text = Buffer.alloc(size);
  tree.read(inode, 0, size, text, 0);
  return text.toString("utf8");
}
