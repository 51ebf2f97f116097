/** What a directory shows where layers lie over the journal. Rare, so it is made whole and kept until something changes. */
import type { DirectoryEntry } from "../file-system.ts";
import { hidden } from "../journals/entries.ts";
import { whiteout } from "../layers/layer.ts";
import type { UnionCore } from "./core.ts";
import { isNameCovered } from "./covers.ts";
import { mountFileName } from "./mount-file.ts";
import { isDirectory } from "./permissions.ts";
import { listUncovered } from "./reading.ts";
import type { StackedDirectory } from "./stack.ts";

/** Cookies of names that a covering layer has, in its order: after all others. */
const coverCookies = 2 ** 42;

export interface ShownEntries {
  readonly changeCount: number;
  /** In cookie order. */
  readonly entries: readonly DirectoryEntry[];
  /** Directories among them, beyond those that the journal counts. */
  readonly subdirectories: number;
}

export function listCovered(
  core: UnionCore,
  directory: StackedDirectory,
  cookie: number,
  limit: number,
): DirectoryEntry[] {
  const { entries } = show(core, directory);
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (entries[middle].cookie > cookie) high = middle;
    else low = middle + 1;
  }
  return entries.slice(low, low + limit);
}

/** How many subdirectories a directory shows beyond those that its inode in the journal counts. */
export function countSubdirectories(core: UnionCore, directory: StackedDirectory): number {
  if (directory.cover!.layers.length > 0) return show(core, directory).subdirectories;
  const below = core.stack.countSubdirectories(directory);
  if (core.journal.state.mountTimes.size === 0) return below;
  // The journal counts what it adds to what the layers showed at the time: since then a `.mount` has changed.
  directory.miscounted ??= countMissing(core, directory);
  return below + directory.miscounted;
}

function countMissing(core: UnionCore, { id, branches }: StackedDirectory): number {
  const inode = core.journal.state.inodes.get(id);
  if (inode === undefined) return 0;
  let missing = -inode.links;
  for (const entry of inode.entries.after(0)) {
    if (entry.id !== hidden && core.isDirectory(entry.id)) missing++;
    const below = branches.length === 0 ? undefined : core.stack.find({ branches }, entry.name);
    if (below !== undefined && isDirectory(core.stack.mode(below))) missing--;
  }
  return missing;
}

function show(core: UnionCore, directory: StackedDirectory): ShownEntries {
  const { changeCount } = core.journal;
  if (directory.shown?.changeCount === changeCount) return directory.shown;
  const entries = [...listEntries(core, directory)];
  const directories = entries.filter(({ id }) => core.isDirectory(id)).length;
  const counted = core.journal.state.inodes.get(directory.id)?.links ?? 0;
  const shown = { changeCount, entries, subdirectories: directories - counted };
  const isLive = [...directory.cover!.layers, ...directory.branches].some(({ tree }) => tree.isLive);
  if (!isLive) directory.shown = shown;
  return shown;
}

function* listEntries(core: UnionCore, directory: StackedDirectory): Generator<DirectoryEntry> {
  const cover = directory.cover!;
  for (const entry of listUncovered(core, directory, 0, Number.POSITIVE_INFINITY))
    if (!isNameCovered(cover, entry.name)) yield entry;
  let cookie = coverCookies;
  const seen = new Set([mountFileName]);
  const entries: DirectoryEntry[] = [];
  for (const { tree, inode } of cover.layers)
    tree.visitEntries(inode, (name, found) => {
      cookie++;
      if (seen.has(name)) return;
      seen.add(name);
      const id = found === whiteout ? undefined : core.findEntry(directory, name);
      if (id !== undefined) entries.push({ name, id, cookie });
    });
  yield* entries;
}
