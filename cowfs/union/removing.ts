/** REMOVE, RMDIR and RENAME: names that go. A rename moves one entry, also of a whole template directory. */
import { FileSystemError } from "../errors.ts";
import type { Caller, FileId, Name, Time } from "../file-system.ts";
import { hidden } from "../journals/entries.ts";
import type { UnionCore } from "./core.ts";
import { openToSearch, requireExtensible } from "./creating.ts";
import { rootId, slotOf } from "./file-ids.ts";
import { isDirectory, Permission, requireDeletable, requirePermission } from "./permissions.ts";
import type { StackedDirectory } from "./stack.ts";
import { chooseTarget, findThrough, removeThrough, renameThrough } from "./through.ts";
import { isDots } from "./values.ts";

export function removeFile(core: UnionCore, caller: Caller, id: FileId, name: Name): void {
  const directory = openToSearch(core, caller, id, name);
  if (isDots(name)) throw new FileSystemError("EISDIR");
  const victim = requireEntry(core, directory, name);
  const attributes = core.attributes(victim);
  requireDeletable(caller, core.attributes(id), attributes);
  if (isDirectory(attributes.mode)) throw new FileSystemError("EISDIR");
  const through = findThrough(core, victim);
  if (through !== undefined) removeThrough(core, through, directory, name, false);
  const time = core.clock();
  dropName(core, victim, time);
  core.leave(directory, name, 0, time);
}

export function removeDirectory(core: UnionCore, caller: Caller, id: FileId, name: Name): void {
  const directory = openToSearch(core, caller, id, name);
  if (name === ".") throw new FileSystemError("EINVAL");
  if (name === "..") throw new FileSystemError("ENOTEMPTY");
  const victim = requireEntry(core, directory, name);
  const attributes = core.attributes(victim);
  requireDeletable(caller, core.attributes(id), attributes);
  if (!isDirectory(attributes.mode)) throw new FileSystemError("ENOTDIR");
  const through = findThrough(core, victim);
  if (through !== undefined) removeThrough(core, through, directory, name, true);
  requireEmpty(core, victim);
  const time = core.clock();
  dropDirectory(core, victim, time);
  core.leave(directory, name, -1, time);
}

export function renameEntry(
  core: UnionCore,
  caller: Caller,
  fromId: FileId,
  fromName: Name,
  toId: FileId,
  toName: Name,
): void {
  const from = openToSearch(core, caller, fromId, fromName);
  const to = openToSearch(core, caller, toId, toName);
  if (isDots(fromName) || isDots(toName)) throw new FileSystemError("EINVAL");
  const moved = requireEntry(core, from, fromName);
  const inode = core.attributes(moved);
  const movesDirectory = isDirectory(inode.mode);
  const replaced = core.findEntry(to, toName);
  if (movesDirectory) requireOutside(core, moved, toId);
  if (replaced !== undefined && isDirectory(core.attributes(replaced).mode)) requireNotAbove(core, replaced, fromId);
  const [source, target] = [findThrough(core, moved), chooseTarget(core, to, toName)];
  if (replaced === moved) return;
  requireDeletable(caller, core.attributes(fromId), inode);
  if (replaced === undefined) requireExtensible(core, caller, toId);
  else requireReplaceable(core, caller, toId, inode.mode, replaced);
  // Moving a directory rewrites its `..`, which needs write permission on itself (rename(2), EACCES).
  if (movesDirectory && fromId !== toId) requirePermission(caller, inode, Permission.write);
  if (source !== undefined || target !== undefined)
    renameThrough(core, source, target, { from, fromName, toName, replaced });
  if (replaced !== undefined && movesDirectory) requireEmpty(core, replaced);
  core.requireCopyUp(moved);

  const mergedWith = movesDirectory ? core.directory(moved).mergedWith : 0;
  const time = core.clock();
  if (replaced !== undefined && movesDirectory) dropDirectory(core, replaced, time);
  else if (replaced !== undefined) dropName(core, replaced, time);
  core.put(core.copyUp(moved), { changed: time, parent: movesDirectory ? toId : 0 });
  core.leave(from, fromName, movesDirectory ? -1 : 0, time);
  if (movesDirectory && slotOf(moved) === 0) {
    // What it is merged with goes along, as with a directory of a layer.
    if (mergedWith !== 0) core.journal.apply({ kind: "merge", id: moved, merges: mergedWith });
    else core.mergeByName(moved, to, toName);
  }
  core.enter(to, toName, moved, movesDirectory && replaced === undefined ? 1 : 0, time);
  if (movesDirectory) core.noteMove();
}

function requireEntry(core: UnionCore, directory: StackedDirectory, name: Name): FileId {
  const id = core.findEntry(directory, name);
  if (id === undefined) throw new FileSystemError("ENOENT");
  if (findThrough(core, id) === undefined) core.requireUncovered(directory, name);
  return id;
}

/** Reads all that the removal of a directory will need, so that nothing faults after the first change. */
function requireEmpty(core: UnionCore, id: FileId): void {
  const directory = core.directory(id);
  core.requireCopyUp(id);
  const own = core.journal.state.inodes.get(id)?.entries;
  if (own !== undefined)
    for (const entry of own.after(0)) if (entry.id !== hidden) throw new FileSystemError("ENOTEMPTY");
  for (const { name } of core.stack.list(directory))
    if (own?.get(name) === undefined) throw new FileSystemError("ENOTEMPTY");
}

function requireReplaceable(core: UnionCore, caller: Caller, toId: FileId, mode: number, replaced: FileId): void {
  const attributes = core.attributes(replaced);
  requireDeletable(caller, core.attributes(toId), attributes);
  if (isDirectory(mode) && !isDirectory(attributes.mode)) throw new FileSystemError("ENOTDIR");
  if (!isDirectory(mode) && isDirectory(attributes.mode)) throw new FileSystemError("EISDIR");
}

/** A directory cannot move into itself or below (rename(2), EINVAL). */
function requireOutside(core: UnionCore, moved: FileId, target: FileId): void {
  for (let at = target; at !== 0; at = core.parent(at)) {
    if (at === moved) throw new FileSystemError("EINVAL");
    if (at === rootId) return;
  }
}

/** The target of a rename cannot be above its source: it would not be empty. */
function requireNotAbove(core: UnionCore, replaced: FileId, source: FileId): void {
  for (let at = source; at !== 0; at = core.parent(at)) {
    if (at === replaced) throw new FileSystemError("ENOTEMPTY");
    if (at === rootId) return;
  }
}

/** Takes one name from a file. The last one takes its data; what a layer below holds stays as gone (U5). */
function dropName(core: UnionCore, id: FileId, time: Time): void {
  const inode = core.copyUp(id);
  core.put(inode, { links: inode.links - 1, changed: time });
  if (inode.links > 0 || core.retained.has(id)) return;
  if (slotOf(id) === 0) core.journal.apply({ kind: "drop", id });
  else core.journal.apply({ kind: "cut", id, size: 0 });
}

function dropDirectory(core: UnionCore, id: FileId, time: Time): void {
  const inode = core.copyUp(id);
  core.put(inode, { parent: 0, links: 0, changed: time });
  if (slotOf(id) === 0 && !core.retained.has(id)) core.journal.apply({ kind: "drop", id });
}
