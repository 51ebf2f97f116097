/**
 * This checkout as dom0 has it: two read-only disks, since a start of Node over 9p asks for thousands of files, one by one. The
 * larger one, with Node and the packages, is made once for each lockfile; the one with our own files at each start.
 */
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { systemEnvironment } from "../../xenod/system-path.ts";
import { type WarmOptions, warmNode } from "./warm-node.ts";

const checkout = join(import.meta.dirname, "..", "..");
const sources = [
  "package.json",
  "bin",
  "bench",
  "control",
  "cowfs",
  "scripts",
  "templates",
  "test",
  "xenod",
  "xenostore",
];
/** What only checks need, and what commands keep there. */
const unneeded = [".cache", "@biomejs", "@typescript", "typescript"];
/** Nothing is compressed: the host has room, and the emulated processor has no time. */
const plain = ["-noI", "-noD", "-noF", "-noX", "-no-duplicates", "-no-xattrs", "-all-root", "-no-progress", "-quiet"];

/** Makes the disk of node_modules in the directory, or finds it made. */
export async function makePackagesDisk(directory: string, signal: AbortSignal): Promise<string> {
  const lockfile = await readFile(join(checkout, "node_modules", ".package-lock.json"));
  const key = createHash("sha256")
    .update(lockfile)
    .update(String([unneeded, plain]))
    .digest("hex");
  const name = `packages-${key.slice(0, 16)}.squashfs`;
  const disk = join(directory, name);
  if (await stat(disk).catch(() => undefined)) return disk;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const scratch = `${disk}.${process.pid}.tmp`;
  try {
    const mountPoints = ["-p", ".cache d 755 0 0", "-p", ".cache/xenoserver d 755 0 0"];
    await pack(["node_modules"], scratch, [...mountPoints, "-e", ...unneeded], signal);
    await rename(scratch, disk);
  } finally {
    await rm(scratch, { force: true });
  }
  for (const other of await readdir(directory))
    if (/^packages-[0-9a-f]{16}\.squashfs$/.test(other) && other !== name) await rm(join(directory, other));
  return disk;
}

/**
 * Packs our files as they are now, with an empty node_modules to mount the other disk on, and `compile-cache` (warm-node.ts). What
 * compiling makes is kept in `directory`.
 */
export async function makeSourcesDisk(
  disk: string,
  directory: string,
  signal: AbortSignal,
  warming: WarmOptions = {},
): Promise<void> {
  const cache = join(directory, "compile-cache");
  await warmNode(cache, warming, signal);
  await rm(disk, { force: true });
  await pack([...sources, cache], disk, ["-p", "node_modules d 755 0 0"], signal);
}

async function pack(from: readonly string[], disk: string, options: readonly string[], signal: AbortSignal) {
  await execa("mksquashfs", [...from, disk, ...plain, ...options], {
    cwd: checkout,
    env: systemEnvironment,
    stdin: "ignore",
    cancelSignal: signal,
  });
}
