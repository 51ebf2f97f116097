/** Reading through the union: data, listings, link targets, extended attributes. Nothing here changes anything. */
import { FileSystemError } from "../errors.ts";
import { Fault, type Need } from "../fault.ts";
import { type Caller, type DirectoryEntry, exactSize, type FileId, type Name } from "../file-system.ts";
import { hidden } from "../journals/entries.ts";
import { findExtent, lowerAddress } from "../journals/extents.ts";
import type { JournalInode } from "../journals/state.ts";
import { countFrom, type Offset, splitByRegion, toOffset } from "../offsets.ts";
import type { UnionCore } from "./core.ts";
import { listCovered } from "./covered-listing.ts";
import type { Branch } from "./layer-table.ts";
import { isDirectory, isRegular, isSymlink, Permission, requirePermission, requireReadable } from "./permissions.ts";
import type { LowerEntry, StackedDirectory } from "./stack.ts";

/**
 * Cookies of names that only the journal has come after all that the layers below can have. A name that the layers show
 * keeps its place whatever the journal lays over it.
 */
const journalCookies = 2 ** 40;

export function readFile(
  core: UnionCore,
  caller: Caller,
  id: FileId,
  from: Offset,
  length: number,
  target: Buffer,
  targetOffset: number,
): number {
  const inode = core.find(id);
  const file = inode ?? core.attributes(id);
  requireRegular(file.mode);
  requireReadable(caller, file);
  const offset = toOffset(from);
  const count = countFrom(offset, exactSize(file), length);
  if (count === 0) return 0;
  if (inode?.large !== undefined) return readLarge(core, inode, offset, count, target, targetOffset);
  if (typeof offset === "bigint") return 0;
  if (inode !== undefined) readExtents(core, inode, offset, count, target, targetOffset);
  else {
    const lower = core.stack.locate(id);
    lower.tree.read(lower.inode, offset, count, target, targetOffset);
  }
  return count;
}

/**
 * Copies a range that lies within the file: extents of the journal and of the layer below, zeros for holes. Throws one
 * Fault that names all that is missing.
 */
export function readExtents(
  core: UnionCore,
  { id, extents }: Pick<JournalInode, "id" | "extents">,
  offset: number,
  length: number,
  target: Buffer,
  targetOffset: number,
): void {
  const end = offset + length;
  const needs: Need[] = [];
  // Differences first: a sum with an offset near 2^53 would lose its last bit.
  let at = offset;
  for (let index = findExtent(extents, offset); at < end; index++) {
    const extent = extents[index];
    const start = extent === undefined ? end : Math.min(extent.offset, end);
    if (start > at) {
      target.fill(0, targetOffset + (at - offset), targetOffset + (start - offset));
      at = start;
    }
    if (extent === undefined || at >= end) continue;
    const part = Math.min(end, extent.offset + extent.length) - at;
    const place = targetOffset + (at - offset);
    if (extent.address === lowerAddress) {
      const lower = core.stack.locate(id);
      readLower(lower, at, part, target, place, needs);
    } else core.journal.readData(extent.address + (at - extent.offset), part, target, place);
    at += part;
  }
  if (needs.length > 0) throw new Fault(needs);
}

/** Of a file from 2^53 bytes up: region by region. */
function readLarge(
  core: UnionCore,
  { id, extents, large }: JournalInode,
  start: Offset,
  count: number,
  target: Buffer,
  targetOffset: number,
): number {
  for (const { region, offset, length, at } of splitByRegion(start, count)) {
    const part = region === 0 ? extents : (large!.regions.get(region) ?? []);
    readExtents(core, { id, extents: part }, offset, length, target, targetOffset + at);
  }
  return count;
}

function readLower({ tree, inode }: Branch, offset: number, length: number, target: Buffer, at: number, needs: Need[]) {
  try {
    tree.read(inode, offset, length, target, at);
  } catch (thrown) {
    if (!(thrown instanceof Fault)) throw thrown;
    needs.push(...thrown.needs);
  }
}

export function listDirectory(
  core: UnionCore,
  caller: Caller,
  id: FileId,
  cookie: number,
  limit: number,
): DirectoryEntry[] {
  const directory = core.directory(id);
  requirePermission(caller, core.attributes(id), Permission.read);
  if (directory.mountError !== undefined) throw new FileSystemError("EIO", directory.mountError.message);
  if (directory.cover!.layers.length > 0) return listCovered(core, directory, cookie, limit);
  return listUncovered(core, directory, cookie, limit);
}

/** What the journal and the layers below it hold. */
export function listUncovered(
  core: UnionCore,
  directory: StackedDirectory,
  cookie: number,
  limit: number,
): DirectoryEntry[] {
  const own = core.journal.state.inodes.get(directory.id)?.entries;
  const listed: DirectoryEntry[] = [];
  if (cookie < journalCookies) {
    const lower = core.stack.list(directory);
    for (let index = findAfter(lower, cookie); index < lower.length && listed.length < limit; index++) {
      const { name, id, cookie } = lower[index];
      const shown = own?.get(name)?.id ?? id;
      if (shown !== hidden) listed.push({ name, id: shown, cookie });
    }
  }
  if (own === undefined || listed.length >= limit) return listed;
  for (const entry of own.after(Math.max(0, cookie - journalCookies))) {
    if (entry.id === hidden || core.stack.find(directory, entry.name) !== undefined) continue;
    listed.push({ name: entry.name, id: entry.id, cookie: journalCookies + entry.cookie });
    if (listed.length >= limit) break;
  }
  return listed;
}

/** The first entry with a larger cookie. */
function findAfter(listing: readonly LowerEntry[], cookie: number): number {
  let low = 0;
  let high = listing.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (listing[middle].cookie <= cookie) low = middle + 1;
    else high = middle;
  }
  return low;
}

export function readLink(core: UnionCore, id: FileId): Name {
  const inode = core.find(id);
  const mode = inode?.mode ?? core.attributes(id).mode;
  if (!isSymlink(mode)) throw new FileSystemError("EINVAL");
  if (inode !== undefined) return inode.target;
  const lower = core.stack.locate(id);
  return lower.tree.linkTarget(lower.inode);
}

export function requireRegular(mode: number): void {
  if (isDirectory(mode)) throw new FileSystemError("EISDIR");
  if (!isRegular(mode)) throw new FileSystemError("EINVAL");
}
