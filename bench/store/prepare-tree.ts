/**
 * The tree that everybody stores: Debian with a compiler, an interpreter and a kernel, made once and kept. Its packages are unpacked and
 * not configured, which takes a tenth of the time and leaves the same files but for some links and caches.
 */
import { access, mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { systemEnvironment } from "../../xenod/system-path.ts";

const small = ["apt", "base-files", "bash", "coreutils", "debianutils", "login", "perl-base", "tzdata", "util-linux"];
/** With these about 1.2 GB. */
const packages = [
  "build-essential",
  "clang",
  "linux-image-amd64",
  "openjdk-17-jre-headless",
  "perl",
  "python3-numpy",
  "vim",
];
/** Every so many-th file is changed: 2 %. */
const changedEvery = 50;

export async function prepareTree(directory: string, isQuick: boolean, signal: AbortSignal): Promise<string> {
  const tree = join(directory, isQuick ? "small" : "large");
  const isThere = await access(tree).then(
    () => true,
    () => false,
  );
  if (isThere) return tree;
  await mkdir(directory, { recursive: true });
  const include = `--include=${[...small, ...(isQuick ? [] : packages)].join(",")}`;
  const partial = `${tree}.partial`;
  const archive = `${tree}.tar`;
  // By way of an archive: in a directory of ours, a run that is killed would leave mounts that nobody may delete through.
  await execa("mmdebstrap", ["--variant=extract", include, "bookworm", archive], {
    env: systemEnvironment,
    cancelSignal: signal,
  });
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial);
  await execa("tar", ["--extract", "--numeric-owner", "--file", archive, "--directory", partial, "--exclude=./dev/*"]);
  await rm(archive);
  for (const rubbish of ["var/cache/apt", "var/lib/apt/lists"])
    await rm(join(partial, rubbish), { recursive: true, force: true });
  await rename(partial, tree);
  return tree;
}

export interface TreeSize {
  readonly files: number;
  readonly bytes: number;
}

/** Regular files below a directory, in the order of their paths. */
export async function listFiles(tree: string): Promise<string[]> {
  const entries = await readdir(tree, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(tree.length + 1))
    .sort();
}

/** The files that the second publication finds changed. */
export function chooseChanged(files: readonly string[]): string[] {
  return files.filter((_, index) => index % changedEvery === 0);
}

/** What is written into each changed file, in its middle. */
export function describeChange(path: string): Buffer {
  return Buffer.from(`changed ${path}`.slice(0, 64));
}

export async function changeFiles(tree: string, paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    const file = await open(join(tree, path), "r+");
    const { size } = await file.stat();
    await file.write(describeChange(path), 0, undefined, Math.floor(size / 2));
    await file.close();
  }
}
