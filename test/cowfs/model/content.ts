/** Sparse file content as copy-on-write pages: a page that was put is never changed, so undoing is putting the old one. */
import { FileSystemError } from "../../../cowfs/errors.ts";
import type { Inode } from "./inode.ts";
import type { UndoLog } from "./undo.ts";

export const pageBytes = 4096;
const maxSize = 2n ** 63n - 1n;

/** Plain: all sums are bigints. */
export function checkSize(size: number | bigint): bigint {
  if (typeof size === "number" && size > Number.MAX_SAFE_INTEGER) throw new FileSystemError("EFBIG");
  if (typeof size === "number" && !Number.isInteger(size)) throw new FileSystemError("EINVAL");
  const exact = BigInt(size);
  if (exact > maxSize) throw new FileSystemError("EFBIG");
  if (exact < 0n) throw new FileSystemError("EINVAL");
  return exact;
}

/** The fields that say it. */
export function sizeFields(size: bigint): { size: number; large: { size: bigint } | undefined } {
  if (size < 2n ** 53n) return { size: Number(size), large: undefined };
  return { size: Number.MAX_SAFE_INTEGER, large: { size } };
}

function sizeOf({ size, large }: Inode): bigint {
  return large?.size ?? BigInt(size);
}

export function readContent(
  inode: Inode,
  start: number | bigint,
  length: number,
  target: Buffer,
  targetOffset: number,
): number {
  const offset = BigInt(start);
  const left = sizeOf(inode) - offset;
  const count = Math.min(length, target.length - targetOffset, left < 0n ? 0 : Number(left));
  for (let done = 0; done < count; ) {
    const { index, from } = locate(offset + BigInt(done));
    const part = Math.min(pageBytes - from, count - done);
    const to = targetOffset + done;
    const page = inode.pages.get(index);
    if (page === undefined) target.fill(0, to, to + part);
    else page.copy(target, to, from, from + part);
    done += part;
  }
  return count;
}

export function writeContent(inode: Inode, start: number | bigint, data: Buffer, undo: UndoLog): void {
  const offset = BigInt(start);
  for (let done = 0; done < data.length; ) {
    const { index, from } = locate(offset + BigInt(done));
    const count = Math.min(pageBytes - from, data.length - done);
    const page = Buffer.alloc(pageBytes, inode.pages.get(index) ?? 0);
    data.copy(page, from, done, done + count);
    undo.put(inode.pages, index, page);
    done += count;
  }
  const end = offset + BigInt(data.length);
  if (end > sizeOf(inode)) undo.assign(inode, sizeFields(end));
}

export function truncateContent(inode: Inode, size: bigint, undo: UndoLog): void {
  if (size < sizeOf(inode)) {
    const { index: last, from: kept } = locate(size);
    for (const index of [...inode.pages.keys()]) if (index > last) undo.put(inode.pages, index, undefined);
    const page = inode.pages.get(last);
    if (page !== undefined) {
      undo.put(inode.pages, last, kept === 0 ? undefined : Buffer.from(page).fill(0, kept));
    }
  }
  undo.assign(inode, sizeFields(size));
}

/** Page numbers are below 2^51. */
function locate(offset: bigint): { index: number; from: number } {
  const bytes = BigInt(pageBytes);
  return { index: Number(offset / bytes), from: Number(offset % bytes) };
}
