/**
 * Keeps a guest's recorded console small: past `maxBytes` it is copied to `<file>.1` and emptied.
 *
 * QEMU appends to the file (O_APPEND), so it goes on at the new end. What the guest prints between copying and emptying
 * is lost; while Xenod is away QEMU's own limit holds (command-line.ts).
 */
import { copyFile, stat, truncate } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

const maxBytes = 4 * 1024 * 1024;
const intervalMs = 2_000;

/** Watches until the signal. Never keeps the process running. */
export async function keepConsoleSmall(file: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await rotate(file, maxBytes).catch(() => {});
    await delay(intervalMs, undefined, { signal, ref: false }).catch(() => {});
  }
}

/** Whether it was past the size. */
export async function rotate(file: string, sizeBytes: number): Promise<boolean> {
  if ((await stat(file)).size <= sizeBytes) return false;
  await copyFile(file, `${file}.1`);
  await truncate(file, 0);
  return true;
}
