/**
 * This checkout as dom0 has it: two read-only disks, since a start of Node over 9p asks for thousands of files, one by one. The
 * larger one, with Node and the packages, is made once for each lockfile; the one with our own files at each start.
 */
import { createHash } from "node:crypto";
import { cp, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { systemEnvironment } from "../../xenod/system-path.ts";
import { bundlePrograms } from "./bundle-programs.ts";
import { dom0Programs, warmNode } from "./warm-node.ts";

const checkout = join(import.meta.dirname, "..", "..");
const sources = [
  "package.json",
  "package-lock.json",
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
    await pack(checkout, ["node_modules"], scratch, [...mountPoints, "-e", ...unneeded], signal);
    await rename(scratch, disk);
  } finally {
    await rm(scratch, { force: true });
  }
  for (const other of await readdir(directory))
    if (/^packages-[0-9a-f]{16}\.squashfs$/.test(other) && other !== name) await rm(join(directory, other));
  return disk;
}

export interface SourcesOptions {
  /** Bundled as well. */
  readonly programs?: readonly string[];
  /** Started beforehand as well, with options, so that they are compiled. */
  readonly warmed?: readonly (readonly string[])[];
  /** Takes the place of the checkout's package.json. */
  readonly description?: string;
}

/** The disk with our own files is of one size, whatever is on it: a dom0 that was booted before knows no other. */
export const sourcesMiB = 96;

/** Packs our files as they are now, with an empty node_modules to mount the other disk on, and `compile-cache` (warm-node.ts). */
export async function makeSourcesDisk(
  disk: string,
  signal: AbortSignal,
  { programs = [], warmed = [], description }: SourcesOptions = {},
): Promise<void> {
  const staged = `${disk}.staged`;
  try {
    await rm(staged, { recursive: true, force: true });
    for (const name of sources) await cp(join(checkout, name), join(staged, name), { recursive: true });
    if (description !== undefined) await writeFile(join(staged, "package.json"), description);
    await bundlePrograms([...dom0Programs, ...programs], staged);
    for (const name of ["node_modules", "compile-cache"]) await mkdir(join(staged, name));
    await warmNode(staged, warmed, signal);
    await rm(disk, { force: true });
    await pack(staged, await readdir(staged), disk, [], signal);
    await growDisk(disk);
  } finally {
    await rm(staged, { recursive: true, force: true });
  }
}

/** Makes it that large, with what is in it. */
export async function growDisk(disk: string): Promise<void> {
  const file = await open(disk, "a");
  try {
    if ((await file.stat()).size > sourcesMiB * 1024 * 1024) throw new RangeError(`${disk} is above ${sourcesMiB} MiB`);
    await file.truncate(sourcesMiB * 1024 * 1024);
  } finally {
    await file.close();
  }
}

async function pack(
  directory: string,
  names: readonly string[],
  disk: string,
  options: readonly string[],
  signal: AbortSignal,
) {
  await execa("mksquashfs", [...names, disk, ...plain, ...options], {
    cwd: directory,
    env: systemEnvironment,
    stdin: "ignore",
    cancelSignal: signal,
  });
}
