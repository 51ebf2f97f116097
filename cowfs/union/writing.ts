/** WRITE: bytes go to the journal's segments; the file keeps what it did not overwrite, wherever that lies. */
import type { Caller, FileId } from "../file-system.ts";
import { countOwnBytes, type Extent } from "../journals/extents.ts";
import type { JournalInode } from "../journals/state.ts";
import { addToOffset, type Offset, type RegionPart, requireSmall, splitByRegion, toOffset } from "../offsets.ts";
import type { UnionCore } from "./core.ts";
import { dropCapabilities } from "./extended-attributes.ts";
import { modeAfterWrite, requireWritable } from "./permissions.ts";
import { requireRegular } from "./reading.ts";
import { findThrough, writeThrough } from "./through.ts";

export function writeFile(core: UnionCore, caller: Caller, id: FileId, from: Offset, data: Buffer): void {
  const before = core.attributes(id);
  requireRegular(before.mode);
  const through = findThrough(core, id);
  if (through === undefined) core.requireOwn(id, before.mode);
  requireWritable(caller, before);
  const offset = toOffset(from);
  const end = addToOffset(offset, data.length);
  if (data.length === 0) return;
  if (through !== undefined) {
    const mode = modeAfterWrite(caller, before);
    writeThrough(core, through, requireSmall(offset), data, mode === before.mode ? undefined : mode & 0o7777);
  }
  const lays = appendData(core, core.find(id), offset, end, data);
  const inode = core.copyUp(id);
  if (typeof end === "bigint") extendLarge(core, inode, end);
  for (const lay of lays) core.journal.apply({ kind: "lay", id, ...lay });
  dropCapabilities(core, inode);
  const time = core.clock();
  core.journal.apply({
    kind: "wrote",
    id,
    size: typeof end === "bigint" ? Number.MAX_SAFE_INTEGER : Math.max(inode.size, end),
    mode: modeAfterWrite(caller, inode),
    time,
  });
  core.noteContent(id, time);
}

interface Lay {
  readonly extent: Extent;
  readonly checksum: number;
  readonly region: number;
}

/** Appends the bytes of a write, in one piece unless it reaches beyond where extents do. Throws before any change. */
function appendData(
  core: UnionCore,
  inode: JournalInode | undefined,
  offset: Offset,
  end: Offset,
  data: Buffer,
): Lay[] {
  if (typeof offset === "number" && typeof end === "number")
    return [appendPart(core, inode?.extents ?? [], { region: 0, offset, length: data.length, at: 0 }, data)];
  return [...splitByRegion(offset, data.length)].map((part) => {
    const extents = part.region === 0 ? inode?.extents : inode?.large?.regions.get(part.region);
    return appendPart(core, extents ?? [], part, data);
  });
}

function appendPart(core: UnionCore, own: readonly Extent[], part: RegionPart, data: Buffer): Lay {
  const { region, offset, length, at } = part;
  const bytes = length === data.length ? data : data.subarray(at, at + length);
  const { address, checksum } = core.journal.room.append(bytes, countOwnBytes(own, offset, offset + length));
  return { extent: { offset, length, address }, checksum, region };
}

/** Makes a file reach to a size from 2^53 up; one that reaches further stays. Within a transaction. */
function extendLarge(core: UnionCore, { id, large }: JournalInode, size: bigint): void {
  if (large === undefined || large.size < size) core.journal.apply({ kind: "large", id, size });
}
