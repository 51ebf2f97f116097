/** What a journal asks of the disk and what the disk may refuse: the seam at which tests make it full or broken. */
import fs from "node:fs";
import { open } from "node:fs/promises";

export interface Disk {
  /** As pwrite(2): returns how many bytes it took; throws ENOSPC, EIO. */
  write(file: number, bytes: Buffer, start: number, length: number, position: number): number;
  /** As fdatasync(2), off the event loop. */
  sync(file: number): Promise<void>;
  /** The same at once: for use before anything is served. */
  syncNow(file: number): void;
  /** As ftruncate(2), to fewer bytes than there are. */
  cut(file: number, bytes: number): void;
}

const rewriteBytes = 1024 * 1024;
/** statfs(2) */
const tmpfsMagic = 0x01021994;

export const realDisk: Disk = {
  write: (file, bytes, start, length, position) => fs.writeSync(file, bytes, start, length, position),
  sync: (file) =>
    new Promise((resolve, reject) => fs.fdatasync(file, (error) => (error === null ? resolve() : reject(error)))),
  syncNow: (file) => fs.fdatasyncSync(file),
  cut: (file, bytes) => fs.ftruncateSync(file, bytes),
};

/** On tmpfs, where a sync has nothing to do: going to another thread for it would take 30 times as long as the call. */
const memoryDisk: Disk = {
  ...realDisk,
  sync: async (file) => realDisk.syncNow(file),
};

export function chooseDisk(directory: string): Disk {
  return fs.statfsSync(directory).type === tmpfsMagic ? memoryDisk : realDisk;
}

/** Waits for all of them, also where one fails, for their files must stay open; then throws the first failure. */
export async function settleAll(promises: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(promises)) if (result.status === "rejected") throw result.reason;
}

/** Writes all of `bytes`, however little the disk takes at a time. */
export function writeFully(disk: Disk, file: number, bytes: Buffer, position: number): void {
  for (let written = 0; written < bytes.length; )
    written += disk.write(file, bytes, written, bytes.length - written, position + written);
}

/** Writes a range of a file again as it is, so that the next sync covers it. */
export function rewrite(disk: Disk, file: number, start: number, end: number): void {
  const bytes = Buffer.allocUnsafe(Math.min(end - start, rewriteBytes));
  for (let at = start; at < end; ) {
    const count = fs.readSync(file, bytes, 0, Math.min(bytes.length, end - at), at);
    if (count === 0) throw new Error(`a file ends at ${at}, and ${end - at} bytes more were found in it`);
    writeFully(disk, file, bytes.subarray(0, count), at);
    at += count;
  }
}

/** A new file's name is on stable storage only once its directory is. */
export function syncDirectory(directory: string): void {
  const handle = fs.openSync(directory, fs.constants.O_RDONLY);
  try {
    fs.fsyncSync(handle);
  } finally {
    fs.closeSync(handle);
  }
}

/** The same off the event loop. */
export async function syncDirectoryLater(directory: string): Promise<void> {
  const handle = await open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
