/**
 * The kernel template that tests boot: built once per state of its sources, and kept in node_modules/.cache, which clones
 * do without and which is never committed.
 */
import { createHash } from "node:crypto";
import { access, mkdir, mkdtemp, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { buildKernel, type KernelConfiguration } from "../../../templates/kernel/build-kernel.ts";
import { fetchKernelPackage } from "../../../templates/kernel/fetch-package.ts";

export interface CachedKernel extends KernelConfiguration {
  readonly directory: string;
}

const cacheDirectory = new URL("../../../node_modules/.cache/xenoserver/", import.meta.url).pathname;
const sourceDirectory = new URL("../../../templates/kernel/", import.meta.url).pathname;

/** Paths in `kernel` and `initramfs` are absolute. */
export async function openCachedKernel(): Promise<CachedKernel> {
  const signal = AbortSignal.timeout(120_000);
  const hash = createHash("sha256");
  for (const name of (await readdir(sourceDirectory)).sort()) hash.update(await readFile(join(sourceDirectory, name)));
  const directory = join(cacheDirectory, `kernel-${hash.digest("hex").slice(0, 16)}`);
  if (!(await exists(join(directory, "config.json")))) {
    try {
      await buildKernel({ package: await openCachedPackage(signal), outputDirectory: directory, signal });
    } catch (error) {
      // Two test processes build at once; the first to finish is as good.
      if (!(await exists(join(directory, "config.json")))) throw error;
    }
  }
  const configuration: KernelConfiguration = JSON.parse(await readFile(join(directory, "config.json"), "utf8"));
  return {
    ...configuration,
    directory,
    kernel: join(directory, configuration.kernel),
    initramfs: join(directory, configuration.initramfs),
  };
}

/** The package's file: fetched once, so that a change to the initramfs costs no download. */
export async function openCachedPackage(signal: AbortSignal): Promise<string> {
  const directory = join(cacheDirectory, "packages");
  await mkdir(directory, { recursive: true });
  const kept = (await readdir(directory)).find((name) => name.endsWith(".deb"));
  if (kept !== undefined) return join(directory, kept);
  const scratch = await mkdtemp(join(cacheDirectory, "fetching-"));
  try {
    const file = await fetchKernelPackage("linux-image-cloud-amd64", scratch, signal);
    const target = join(directory, file.slice(scratch.length + 1));
    await rename(file, target);
    return target;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}
