/** Sparse file content as copy-on-write pages: a page that was put is never changed, so undoing is putting the old one. */
import { FileSystemError } from "../../../cowfs/errors.ts";
import type { Inode } from "./inode.ts";
import type { UndoLog } from "./undo.ts";

export const pageBytes = 4096;
export const maxSize = Number.MAX_SAFE_INTEGER;

export function checkSize(size: number): void {
  if (size > maxSize) throw new FileSystemError("EFBIG");
  if (!Number.isInteger(size) || size < 0) throw new FileSystemError("EINVAL");
}

export function readContent(
  inode: Inode,
  offset: number,
  length: number,
  target: Buffer,
  targetOffset: number,
): number {
  const end = Math.min(offset + length, inode.size, offset + target.length - targetOffset);
  for (let at = offset; at < end; ) {
    const index = Math.floor(at / pageBytes);
    const from = at - index * pageBytes;
    const count = Math.min(pageBytes - from, end - at);
    const to = targetOffset + at - offset;
    const page = inode.pages.get(index);
    if (page === undefined) target.fill(0, to, to + count);
    else page.copy(target, to, from, from + count);
    at += count;
  }
  return Math.max(0, end - offset);
}

export function writeContent(inode: Inode, offset: number, data: Buffer, undo: UndoLog): void {
  for (let done = 0; done < data.length; ) {
    const index = Math.floor((offset + done) / pageBytes);
    const from = offset + done - index * pageBytes;
    const count = Math.min(pageBytes - from, data.length - done);
    const page = Buffer.alloc(pageBytes, inode.pages.get(index) ?? 0);
    data.copy(page, from, done, done + count);
    undo.put(inode.pages, index, page);
    done += count;
  }
  if (offset + data.length > inode.size) undo.assign(inode, { size: offset + data.length });
}

export function truncateContent(inode: Inode, size: number, undo: UndoLog): void {
  if (size < inode.size) {
    const last = Math.floor(size / pageBytes);
    for (const index of [...inode.pages.keys()]) if (index > last) undo.put(inode.pages, index, undefined);
    const page = inode.pages.get(last);
    const kept = size - last * pageBytes;
    if (page !== undefined) {
      undo.put(inode.pages, last, kept === 0 ? undefined : Buffer.from(page).fill(0, kept));
    }
  }
  undo.assign(inode, { size });
}
