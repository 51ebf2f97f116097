/**
 * The layers below the journal: which trees lie over each other at a directory, and what a name means there.
 *
 * Layers are immutable, so what a place in them holds depends only on which layers are mounted where. The journal
 * matters in one way: a `.mount` file that it holds or hides decides what is mounted at that directory (mounts.ts).
 *
 * - (U1) A slot is allotted when a layer is first mounted at a directory and is on stable storage before any id of it
 *   leaves; it is never given to another layer.
 * What lies over the journal is not here but in covers.ts.
 *
 * - (U2) The directory that an id names is found from the id alone: up the layer's own parents to where it is mounted,
 *   and down again by name. So handles work after a restart without any table.
 */
import { FileSystemError, XenoError } from "../errors.ts";
import type { FileId, Name } from "../file-system.ts";
import type { Journal } from "../journals/journal.ts";
import { whiteout } from "../layers/layer.ts";
import { minValidityMs } from "../layers/live/questions.ts";
import type { ShownEntries } from "./covered-listing.ts";
import type { Cover } from "./covers.ts";
import { baseSlot, inodeOf, makeFileId, rootId, slotOf } from "./file-ids.ts";
import { type Branch, LayerTable, type ResolveLayer, retryAfterMs } from "./layer-table.ts";
import { type Mounted, Mounts, type MountText } from "./mounts.ts";
import { isDirectory } from "./permissions.ts";

export type { Branch, ResolveLayer } from "./layer-table.ts";

export interface StackedDirectory {
  readonly id: FileId;
  /** The directory that holds it in the layers; 0 for one that was made in the journal. */
  readonly parent: FileId;
  /**
   * Below the journal, strongest first: what the layers hold at this place, and what `.mount` adds. Of a directory that
   * was made in the journal they are known with its cover: they depend on where it is.
   */
  branches: readonly Branch[];
  /** What this directory's own `.mount` adds to the end of them. */
  readonly mountedBelow: readonly Branch[];
  /** The directory of the layers below that one made in the journal merges with; 0 for none. Known with its cover. */
  mergedWith: FileId;
  /** What the journal's `.mount` of this very directory puts over the journal, strongest first. */
  readonly stronger: readonly Branch[];
  /** What covers it; undefined until somebody asks. */
  cover: Cover | undefined;
  /** Why `.mount` could not be honoured: until it is mended, only the file itself can be reached. */
  mountError: XenoError | undefined;
  /** When that, or what a live layer holds at the place, is looked at again, by `performance.now()`. */
  retryAt: number;
  listing: LowerEntry[] | undefined;
  subdirectories: number | undefined;
  /** What the journal's count of subdirectories lacks since a `.mount` changed after they were counted. */
  miscounted: number | undefined;
  /** What a covered directory shows: see covered-listing.ts. */
  shown: ShownEntries | undefined;
}

export interface LowerEntry {
  readonly name: Name;
  readonly id: FileId;
  /** Positive, below 2^40; grows along the listing. */
  readonly cookie: number;
}

const maxCachedDirectories = 100_000;

/** What the stack asks of the union: the `.mount` file that is seen at a directory, if any. */
export interface MountFileReader {
  readMountFile(directory: FileId, parent: FileId, own: readonly Branch[]): MountText | undefined;
}

export class Stack {
  /** Grows when the layers at some directory may have changed. */
  changeCount = 0;
  readonly #layers: LayerTable;
  readonly #mounts: Mounts;
  readonly #reader: MountFileReader;
  readonly #onMountError: (error: XenoError) => void;
  readonly #directories = new Map<FileId, StackedDirectory>();

  constructor(
    journal: Journal,
    resolve: ResolveLayer,
    reader: MountFileReader,
    onMountError: (error: XenoError) => void,
  ) {
    this.#layers = new LayerTable(journal, resolve);
    this.#mounts = new Mounts(this.#layers);
    this.#reader = reader;
    this.#onMountError = onMountError;
  }

  /** Mounts the layer that lies below the journal at the root. */
  async mountBase(url: string, signal: AbortSignal): Promise<void> {
    await this.#layers.mountBase(url, signal);
  }

  /** Whether an id can be located: the root's cannot where the journal stands alone. */
  hasLayer(id: FileId): boolean {
    return this.#layers.slot(slotOf(id)) !== undefined;
  }

  /** Whether an id names something in a layer over the journal. */
  isOver(id: FileId): boolean {
    const slot = slotOf(id);
    return slot > baseSlot && this.#layers.slot(slot)?.isOver === true;
  }

  mode(id: FileId): number {
    const { tree, inode } = this.locate(id);
    return tree.mode(inode);
  }

  /** Whether anything here is written through. */
  get isWrittenThroughAnywhere(): boolean {
    return this.#layers.writtenThrough.size > 0;
  }

  /** Whether changes of a layer over the journal go through to it: see through.ts. */
  isWrittenThrough(slot: number): boolean {
    return this.#layers.writtenThrough.has(slot);
  }

  /** The directory that the layer in a slot is mounted at. */
  mountPoint(slot: number): FileId {
    return slot === baseSlot ? rootId : this.#layers.slot(slot)!.directory;
  }

  url(slot: number): string {
    return this.#layers.slot(slot)!.url;
  }

  readMounts(at: FileId, file: MountText): Mounted {
    return this.#mounts.read(at, file);
  }

  /** Notes that a `.mount` cannot be honoured; throws what is no such refusal. */
  refuseMount(directory: StackedDirectory, error: unknown): void {
    // A directory of a live layer that is gone: no `.mount` is at fault.
    const isGone = error instanceof FileSystemError && error.code === "ESTALE";
    if (!(error instanceof XenoError) || isGone) throw error;
    directory.mountError = error;
    directory.retryAt = performance.now() + retryAfterMs;
    this.#onMountError(error);
  }

  /** The layer and inode behind an id of a layer below. Throws ESTALE, or a Fault while the layer is being opened. */
  locate(id: FileId): Branch {
    const slot = slotOf(id);
    const tree = this.#layers.tree(slot);
    const inode = inodeOf(id);
    if (!tree.has(inode)) throw new FileSystemError("ESTALE");
    return { slot, tree, inode };
  }

  /** The layers at a directory, whether the journal still shows the directory or not. */
  directory(id: FileId): StackedDirectory {
    const known = this.#directories.get(id);
    if (known === undefined) return this.#openById(id);
    if (known.retryAt !== Number.POSITIVE_INFINITY && known.retryAt <= performance.now()) return this.#openById(id);
    return known;
  }

  /** The directory that holds a directory of a layer below, by the layers alone. */
  parent(id: FileId): FileId {
    return this.directory(id).parent;
  }

  /** What the layers show under a name, or undefined. */
  find(directory: Pick<StackedDirectory, "branches">, name: Name): FileId | undefined {
    for (const branch of directory.branches) {
      const inode = branch.tree.find(branch.inode, name);
      if (inode === whiteout) return undefined;
      if (inode >= 0) return makeFileId(branch.slot, inode);
    }
    return undefined;
  }

  /** What the layers show in a directory, in an order that stays while the layers do. */
  list(directory: StackedDirectory): LowerEntry[] {
    directory.listing ??= listBranches(directory.branches);
    return directory.listing;
  }

  /** How many directories the layers show in a directory. */
  countSubdirectories(directory: StackedDirectory): number {
    directory.subdirectories ??= countDirectories(directory.branches);
    return directory.subdirectories;
  }

  /** Whether something here may change without a change being counted. */
  get hasLive(): boolean {
    return this.#layers.hasLive;
  }

  async close(): Promise<void> {
    await this.#layers.close();
  }

  /** Forgets what was derived from `.mount` files; called when one has changed. */
  forget(): void {
    this.changeCount++;
    this.#directories.clear();
  }

  /** Forgets what depends on where directories are seen; called when one was moved. */
  forgetCovers(): void {
    this.changeCount++;
    for (const directory of this.#directories.values()) directory.cover = undefined;
  }

  #openById(id: FileId): StackedDirectory {
    if (slotOf(id) === 0) return this.#open(id, [], 0);
    if (id === rootId) return this.#open(id, this.hasLayer(id) ? [this.locate(id)] : [], rootId);
    const branch = this.locate(id);
    if (branch.inode === 0 || !isDirectory(branch.tree.mode(branch.inode))) throw new FileSystemError("ESTALE");
    if (this.isOver(id)) {
      const above = branch.tree.parent(branch.inode);
      return this.#open(id, [], above === 0 ? this.mountPoint(branch.slot) : makeFileId(branch.slot, above));
    }
    const above = this.#holding(branch);
    const merged = mergeBranches(above.branches, branch.tree.nameOf(branch.inode));
    return this.#open(id, startAt(branch, merged), above.id, above.branches.some(isLive));
  }

  /** The merged directory that holds a directory of one layer (U2). Walked from the top: the way may be deep. */
  #holding({ slot, tree, inode }: Branch): StackedDirectory {
    const way: number[] = [];
    for (let at = tree.parent(inode); at !== 0; at = tree.parent(at)) way.push(at);
    let holding = this.directory(this.mountPoint(slot));
    for (const at of way.reverse()) {
      const merged = mergeBranches(holding.branches, tree.nameOf(at));
      const branches = includes(merged, slot, at) ? merged : [{ slot, tree, inode: at }];
      const id = makeFileId(branches[0].slot, branches[0].inode);
      const known = this.#directories.get(id);
      const isCurrent = known !== undefined && known.retryAt > performance.now();
      holding = isCurrent ? known : this.#open(id, branches, holding.id, holding.branches.some(isLive));
    }
    return holding;
  }

  /** `isInLive`: what is merged here may change, since a live layer is part of the directory that holds it. */
  #open(id: FileId, own: readonly Branch[], parent: FileId, isInLive = false): StackedDirectory {
    let directory = createDirectory(id, parent, own, { stronger: [], weaker: [] });
    try {
      const file = this.#reader.readMountFile(id, parent, own);
      if (file !== undefined) {
        const mounted = this.#mounts.read(id, file);
        const isLayers = file.slot !== 0;
        directory = isLayers
          ? createDirectory(id, parent, [...mounted.stronger, ...own], { ...mounted, stronger: [] })
          : createDirectory(id, parent, own, mounted);
      }
    } catch (error) {
      this.refuseMount(directory, error);
    }
    if (isInLive || directory.branches.some(isLive) || directory.stronger.some(isLive)) expire(directory);
    if (this.#directories.size >= maxCachedDirectories) this.#directories.clear();
    this.#directories.set(id, directory);
    return directory;
  }
}

function createDirectory(
  id: FileId,
  parent: FileId,
  own: readonly Branch[],
  { stronger, weaker }: Mounted,
): StackedDirectory {
  return {
    id,
    parent,
    branches: [...own, ...weaker],
    mountedBelow: weaker,
    mergedWith: 0,
    stronger,
    cover: undefined,
    mountError: undefined,
    retryAt: Number.POSITIVE_INFINITY,
    listing: undefined,
    subdirectories: undefined,
    miscounted: undefined,
    shown: undefined,
  };
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

/**
 * A directory is what lies at its place from its own layer down. A stronger layer that was mounted later gives the place
 * another id; a layer that is no longer mounted there leaves its directories to themselves.
 */
function startAt(own: Branch, merged: Branch[]): Branch[] {
  const index = merged.findIndex(({ slot, inode }) => slot === own.slot && inode === own.inode);
  return index < 0 ? [own] : merged.slice(index);
}

function includes(branches: readonly Branch[], slot: number, inode: number): boolean {
  return branches.some((branch) => branch.slot === slot && branch.inode === inode);
}

/** What the branches show, and where each entry comes from. */
function visitShown(branches: readonly Branch[], visit: (name: Name, branch: Branch, found: number) => void): void {
  const seen = branches.length > 1 ? new Set<Name>() : undefined;
  for (const branch of branches)
    branch.tree.visitEntries(branch.inode, (name, found) => {
      if (seen?.has(name)) return;
      seen?.add(name);
      if (found !== whiteout) visit(name, branch, found);
    });
}

export function isLive({ tree }: Branch): boolean {
  return tree.isLive;
}

/** What a live layer has part in is derived again when its names may have changed. */
export function expire(directory: StackedDirectory): void {
  directory.retryAt = Math.min(directory.retryAt, performance.now() + minValidityMs);
}

function listBranches(branches: readonly Branch[]): LowerEntry[] {
  if (branches.some(isLive)) return listByName(branches);
  const listing: LowerEntry[] = [];
  visitShown(branches, (name, { slot }, found) =>
    listing.push({ name, id: makeFileId(slot, found), cookie: listing.length + 1 }),
  );
  return listing;
}

/** Where entries come and go, a cookie is a name's hash, so that a listing goes on where it was (as in ext4). */
function listByName(branches: readonly Branch[]): LowerEntry[] {
  const listing: { name: Name; id: FileId; cookie: number }[] = [];
  visitShown(branches, (name, { slot }, found) =>
    listing.push({ name, id: makeFileId(slot, found), cookie: hashName(name) }),
  );
  listing.sort((left, right) => left.cookie - right.cookie || (left.name < right.name ? -1 : 1));
  let last = 0;
  for (const entry of listing) {
    entry.cookie = Math.max(entry.cookie, last + 1);
    last = entry.cookie;
  }
  return listing;
}

/** FNV-1a, 32 bits, plus 1. */
function hashName(name: Name): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return (hash >>> 0) + 1;
}

/** A live layer is asked for its own count: to list it would be to fetch all of it. */
function countDirectories(branches: readonly Branch[]): number {
  let count = 0;
  const sealed = branches.filter(({ tree }) => !tree.isLive);
  for (const { tree, inode } of branches) if (tree.isLive || sealed.length === 1) count += tree.countDirectories(inode);
  if (sealed.length > 1)
    visitShown(sealed, (_name, { tree }, found) => {
      if (isDirectory(tree.mode(found))) count++;
    });
  return count;
}
