/**
 * What goes by the path that a client sees: which layers lie over the journal, since a `.mount` file of it names them
 * before `.`, here or above; and which directory of the layers below one merges with that was made in the journal.
 *
 * Layers below the journal stay where they are, whatever the journal renames; what lies over it goes by the path that a
 * client sees, like any mount. So a cover is found from the directory that holds one now, and its layers by name.
 *
 * - (U7) A layer over the journal is read-only, and what it hides cannot be changed: each change of a name that it
 *   holds, and of what it shows, is EROFS.
 * - (U8) A merged directory's id is that of the journal's or a weaker layer's, so that it stays when such a layer comes
 *   or goes. Only what nothing below has is named by the layer over it.
 */
import { XenoError } from "../errors.ts";
import type { FileId, Name, Time } from "../file-system.ts";
import { type Merges, mergesByName } from "../journals/state.ts";
import { whiteout } from "../layers/layer.ts";
import { isLater } from "./clock.ts";
import { makeFileId, rootId, slotOf } from "./file-ids.ts";
import type { Branch } from "./layer-table.ts";
import { maxBranches } from "./limits.ts";
import { mountFileName } from "./mount-file.ts";
import { type Mounted, readMountText } from "./mounts.ts";
import { isDirectory } from "./permissions.ts";
import { expire, isLive, type Stack, type StackedDirectory } from "./stack.ts";

export interface Cover {
  /** Strongest first. */
  readonly layers: readonly Branch[];
  /** They hide all that the journal and what is below it hold here. */
  readonly hidesAll: boolean;
  /** The directory whose attributes are shown; undefined where a layer is mounted: there the directory's own are. */
  readonly shown: Branch | undefined;
  /** When the `.mount` of this directory last changed, and of this or any above it. */
  readonly mounted: Time | undefined;
  readonly mountedAbove: Time | undefined;
}

const uncovered: Cover = {
  layers: [],
  hidesAll: false,
  shown: undefined,
  mounted: undefined,
  mountedAbove: undefined,
};

/** What the union knows of directories. */
export interface Places {
  /** The directory that a client sees a directory in; 0 for one that was removed. */
  parent(directory: FileId): FileId;
  nameIn(parent: FileId, directory: FileId): Name;
  /** What a client sees under a name. */
  findEntry(directory: StackedDirectory, name: Name): FileId | undefined;
  /** What the journal and the layers below it hold under a name. */
  findBelow(directory: StackedDirectory, name: Name): FileId | undefined;
  mode(id: FileId): number;
  mountTime(directory: FileId): Time | undefined;
  merges(directory: FileId): Merges;
}

export class Covers {
  /** Whether any directory has been covered: then moving one changes what is where. */
  isUsed = false;
  readonly #stack: Stack;
  readonly #places: Places;

  constructor(stack: Stack, places: Places) {
    this.#stack = stack;
    this.#places = places;
  }

  /** What covers a directory. Throws a Fault while a `.mount` or layer is not here. */
  of(directory: StackedDirectory): Cover {
    const way: StackedDirectory[] = [];
    let above: StackedDirectory | undefined;
    for (let at = directory; ; ) {
      if (at.cover !== undefined) {
        above = at;
        break;
      }
      way.push(at);
      if (at.id === rootId) break;
      const parent = this.#stack.isOver(at.id) ? this.findParent(at.id) : this.#places.parent(at.id);
      if (parent === 0) break;
      at = this.#stack.directory(parent);
    }
    for (const at of way.reverse()) {
      at.cover = above === undefined ? this.#coverTop(at) : this.#coverBelow(above, at);
      above = at;
    }
    return directory.cover!;
  }

  /** The directory in which a client sees one that is named by a layer over the journal; 0 where none is any more. */
  findParent(id: FileId): FileId {
    const { slot, tree, inode } = this.#stack.locate(id);
    const way: number[] = [];
    for (let at = tree.parent(inode); at !== 0; at = tree.parent(at)) way.push(at);
    let holding = this.#stack.directory(this.#stack.mountPoint(slot));
    for (let at = 0; ; ) {
      if (!this.of(holding).layers.some((layer) => layer.slot === slot && layer.inode === at)) return 0;
      if (way.length === 0) return holding.id;
      at = way.pop()!;
      const next = this.#places.findEntry(holding, tree.nameOf(at));
      if (next === undefined || !isDirectory(this.#places.mode(next))) return 0;
      const below = this.#stack.directory(next);
      below.cover ??= this.#coverBelow(holding, below, tree.nameOf(at));
      holding = below;
    }
  }

  /** The root, a directory that was removed, or one of a layer that is no longer mounted: that stays whole. */
  #coverTop(directory: StackedDirectory): Cover {
    if (slotOf(directory.id) === 0) this.#mergeBelow(undefined, directory);
    if (!this.#stack.isOver(directory.id)) return this.#join(directory, uncovered, [], false);
    const branch = this.#stack.locate(directory.id);
    return this.#join(directory, uncovered, [branch], false);
  }

  #coverBelow(above: StackedDirectory, directory: StackedDirectory, known?: Name): Cover {
    const cover = above.cover!;
    if (slotOf(directory.id) === 0) this.#mergeBelow(above, directory);
    if (cover.layers.length === 0) return this.#join(directory, cover, [], false);
    const isOver = this.#stack.isOver(directory.id);
    const name = known ?? this.#places.nameIn(above.id, directory.id);
    const { directories, stops } = lookThrough(cover.layers, name);
    // One that is hidden is reached by its handle alone, and shows what it is by itself.
    if ((cover.hidesAll || stops) && !isOver) return this.#join(directory, cover, [], false);
    const below = isOver && !stops ? this.#places.findBelow(above, name) : undefined;
    const isInTheWay = below !== undefined && !isDirectory(this.#places.mode(below));
    return this.#join(directory, cover, directories, cover.hidesAll || stops || isInTheWay);
  }

  /** Merges a directory that was made in the journal with the one below that it stands for, if any. */
  #mergeBelow(above: StackedDirectory | undefined, directory: StackedDirectory): void {
    let merges = this.#places.merges(directory.id);
    if (merges === mergesByName) {
      merges = 0;
      if (above !== undefined && above.branches.length > 0)
        merges = this.#stack.find(above, this.#places.nameIn(above.id, directory.id)) ?? 0;
    }
    const isMerged = merges !== 0 && isDirectory(this.#stack.mode(merges));
    const merged = isMerged ? this.#stack.directory(merges).branches : [];
    directory.branches = [...merged, ...directory.mountedBelow];
    directory.mergedWith = isMerged ? merges : 0;
    if (merged.some(isLive)) expire(directory);
    directory.listing = undefined;
    directory.subdirectories = undefined;
  }

  #join(directory: StackedDirectory, above: Cover, inherited: readonly Branch[], hidesAll: boolean): Cover {
    const mounted = this.#places.mountTime(directory.id);
    const mountedAbove = latest(mounted, above.mountedAbove);
    const own = this.#readOwn(directory, inherited);
    const layers = [...directory.stronger, ...own.stronger, ...inherited, ...own.weaker];
    if (layers.length === 0) return mountedAbove === undefined ? uncovered : { ...uncovered, mounted, mountedAbove };
    this.isUsed = true;
    if (layers.some(isLive)) expire(directory);
    return { layers, hidesAll, shown: inherited[0], mounted, mountedAbove };
  }

  /** The layers that a `.mount` in the covering layers themselves brings. */
  #readOwn(directory: StackedDirectory, inherited: readonly Branch[]): Mounted {
    try {
      for (const { slot, tree, inode } of inherited) {
        const found = tree.find(inode, mountFileName);
        if (found === whiteout) break;
        if (found < 0) continue;
        const path = `${this.#stack.url(slot)}: ${mountFileName}`;
        const mounted = this.#stack.readMounts(directory.id, { text: readMountText(tree, found), slot, path });
        const count = inherited.length + directory.stronger.length + mounted.stronger.length + mounted.weaker.length;
        if (count > maxBranches)
          throw new XenoError("too-many-layers", `${path}: more than ${maxBranches} layers in one directory`);
        return mounted;
      }
    } catch (error) {
      this.#stack.refuseMount(directory, error);
    }
    return { stronger: [], weaker: [] };
  }
}

/** What covering layers hold under a name: directories to merge, or something else that is the strongest. */
export function lookThrough(
  layers: readonly Branch[],
  name: Name,
): { directories: Branch[]; other: FileId | undefined; stops: boolean } {
  const directories: Branch[] = [];
  for (const { slot, tree, inode } of layers) {
    const found = tree.find(inode, name);
    if (found < 0) continue;
    if (found === whiteout) return { directories, other: undefined, stops: true };
    if (!isDirectory(tree.mode(found))) {
      const other = directories.length === 0 ? makeFileId(slot, found) : undefined;
      return { directories, other, stops: true };
    }
    directories.push({ slot, tree, inode: found });
    if (tree.isOpaque(found)) return { directories, other: undefined, stops: true };
  }
  return { directories, other: undefined, stops: false };
}

/** Whether a change of a name would be hidden (U7). A `.mount` never is: it can always be mended. */
export function isNameCovered({ layers, hidesAll }: Cover, name: Name): boolean {
  if (layers.length === 0 || name === mountFileName) return false;
  return hidesAll || layers.some(({ tree, inode }) => tree.find(inode, name) >= 0);
}

function latest(left: Time | undefined, right: Time | undefined): Time | undefined {
  if (left === undefined || right === undefined) return left ?? right;
  return isLater(left, right) ? left : right;
}
