/** A kernel for the tests' guests, built once for each version of its sources under $XENO_TEST_CACHE or the temporary directory. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildKernel } from "../../templates/kernel/build-kernel.ts";
import { type Published, publishFiles } from "../xenod/published.ts";

const sources = new URL("../../templates/kernel/", import.meta.url);

export async function buildTestKernel(): Promise<string> {
  const hash = createHash("sha256");
  for (const name of (await readdir(sources)).sort()) hash.update(readFileSync(new URL(name, sources)));
  const cache = process.env.XENO_TEST_CACHE ?? join(tmpdir(), "xeno-test-cache");
  const outputDirectory = join(cache, `kernel-${hash.digest("hex").slice(0, 16)}`);
  if (existsSync(outputDirectory)) return outputDirectory;
  await mkdir(cache, { recursive: true });
  await buildKernel({ outputDirectory, signal: AbortSignal.timeout(180_000) });
  return outputDirectory;
}

/** Publishes it and returns its URL. */
export async function publishTestKernel(published: Published): Promise<string> {
  return await publishFiles(published, "kernel", await readTestKernel());
}

/** Its files by name. */
export async function readTestKernel(): Promise<Record<string, Buffer>> {
  const directory = await buildTestKernel();
  const names = await readdir(directory);
  const files = await Promise.all(names.map(async (name) => [name, await readFile(join(directory, name))] as const));
  return Object.fromEntries(files);
}
