/**
 * Writing through: what a `.mount` of the journal names `rw` before `.` is a live layer that others share, and is changed at
 * once, where it lies, instead of by copy-up.
 *
 * - (U9) A change goes through where the strongest layer that shows or would show it is such a one. Nothing of it enters
 *   the journal, so it is no part of snapshots, migration or publication; the reply is recorded as any other is.
 * - (U10) What goes through is one change of the layer for each operation, and the last thing that the operation does:
 *   it faults, and is given its answer when it runs again (through-operations.ts).
 *
 * A layer there has no whiteouts made for it: a name that a weaker layer shows too cannot be taken away (EROFS).
 * Between such a layer and all else, rename and link are EXDEV, as between file systems.
 */
import { FileSystemError } from "../errors.ts";
import type { AttributeChange, FileId, Name } from "../file-system.ts";
import type { LiveChange } from "../layers/live/live-files.ts";
import { LiveLayer } from "../layers/live/live-layer.ts";
import type { UnionCore } from "./core.ts";
import { makeFileId, slotOf } from "./file-ids.ts";
import type { Branch } from "./layer-table.ts";
import { mountFileName } from "./mount-file.ts";
import type { StackedDirectory } from "./stack.ts";

/** An object of a layer that is written through. */
export interface Through {
  readonly slot: number;
  readonly layer: LiveLayer;
  readonly inode: number;
}

export function findThrough(core: UnionCore, id: FileId): Through | undefined {
  return core.stack.isWrittenThrough(slotOf(id)) ? asThrough(core.stack.locate(id)) : undefined;
}

/** Where a name is made or taken in a directory; undefined: in the journal. Throws EROFS where neither can (U7). */
export function chooseTarget(core: UnionCore, directory: StackedDirectory, name: Name): Through | undefined {
  const target = findTarget(core, directory, name);
  if (target === undefined) core.requireUncovered(directory, name);
  return target;
}

export interface MadeThrough {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly target: Name;
}

export function createThrough(core: UnionCore, directory: Through, name: Name, made: MadeThrough): never {
  const { layer, inode } = directory;
  change(core, directory, [inode], { kind: "create", directory: layer.place(inode), name, ...made });
}

/** `mode`: the permissions that writing leaves, where it changes them. */
export function writeThrough(core: UnionCore, file: Through, offset: number, data: Buffer, mode?: number): never {
  const { layer, inode } = file;
  change(core, file, [inode], { kind: "write", file: layer.place(inode), offset, data, mode });
}

export function setThrough(core: UnionCore, object: Through, wanted: AttributeChange): never {
  const { layer, inode } = object;
  change(core, object, [inode], { kind: "set", object: layer.place(inode), change: wanted });
}

export function removeThrough(
  core: UnionCore,
  victim: Through,
  directory: StackedDirectory,
  name: Name,
  isDirectory: boolean,
): never {
  const { layer, inode } = requireSole(core, victim, directory, name);
  change(core, victim, [inode, victim.inode], { kind: "remove", directory: layer.place(inode), name, isDirectory });
}

export interface RenameThrough {
  readonly from: StackedDirectory;
  readonly fromName: Name;
  readonly toName: Name;
  readonly replaced: FileId | undefined;
}

/** `moved` and `target`: undefined where the journal holds the one, or would the other. */
export function renameThrough(
  core: UnionCore,
  moved: Through | undefined,
  target: Through | undefined,
  { from, fromName, toName, replaced }: RenameThrough,
): never {
  if (moved === undefined || target === undefined || moved.slot !== target.slot) throw new FileSystemError("EXDEV");
  const source = requireSole(core, moved, from, fromName);
  const gone = replaced === undefined ? undefined : findThrough(core, replaced);
  if (replaced !== undefined && gone === undefined) throw new FileSystemError("EROFS");
  const { layer } = moved;
  const touched = [moved.inode, source.inode, target.inode, ...(gone === undefined ? [] : [gone.inode])];
  const places = { from: layer.place(source.inode), to: layer.place(target.inode) };
  change(core, moved, touched, { kind: "rename", ...places, fromName, toName });
}

export function linkThrough(
  core: UnionCore,
  linked: Through | undefined,
  target: Through | undefined,
  name: Name,
): never {
  if (linked === undefined || target === undefined || linked.slot !== target.slot) throw new FileSystemError("EXDEV");
  const { layer } = linked;
  const places = { object: layer.place(linked.inode), directory: layer.place(target.inode) };
  change(core, linked, [linked.inode, target.inode], { kind: "link", ...places, name });
}

function change(core: UnionCore, { slot, layer }: Through, touched: readonly number[], wanted: LiveChange): never {
  const { operations } = core;
  const operation = operations.current;
  return layer.change(operation.key, touched, wanted, (outcome) => {
    if ("error" in outcome) operations.answer(operation, outcome);
    else {
      const value = outcome.inode < 0 ? operation.value : makeFileId(slot, outcome.inode);
      operations.answer(operation, { value });
    }
  });
}

function findTarget(core: UnionCore, directory: StackedDirectory, name: Name): Through | undefined {
  if (name === mountFileName) return undefined;
  for (const branch of directory.cover!.layers) {
    if (core.stack.isWrittenThrough(branch.slot)) return asThrough(branch);
    // A stronger layer, which is read-only, would hide it.
    if (branch.tree.find(branch.inode, name) >= 0) return undefined;
  }
  return undefined;
}

/** The directory in the object's layer, where no other layer shows the name. */
function requireSole(core: UnionCore, object: Through, directory: StackedDirectory, name: Name): Through {
  let found: Through | undefined;
  for (const branch of directory.cover!.layers) {
    if (branch.slot === object.slot) found = asThrough(branch);
    else if (branch.tree.find(branch.inode, name) >= 0) throw new FileSystemError("EROFS");
  }
  if (found === undefined || core.findBelow(directory, name) !== undefined) throw new FileSystemError("EROFS");
  return found;
}

function asThrough({ slot, tree, inode }: Branch): Through | undefined {
  return tree instanceof LiveLayer ? { slot, layer: tree, inode } : undefined;
}
