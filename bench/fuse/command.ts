/**
 * `bench fuse`: walks of a mounted union beside walks of kernel overlayfs with the same files, in turn, in one run.
 *
 * A warm walk is answered from the kernel's caches, ours and the peer's: it shows what FUSE costs when nobody is asked. With
 * `--cold` there are also walks after the whole machine's caches were dropped, which everybody else on it feels.
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { execa } from "execa";
import { mountFileSystem } from "../../cowfs/fuse/mount.ts";
import { openUnion } from "../../cowfs/union/union.ts";
import { systemEnvironment } from "../../xenod/system-path.ts";
import { describeMachine, formatMachine } from "../machine.ts";
import { describeSamples } from "../statistics.ts";
import { UsageError } from "../usage-error.ts";
import { sealSample, writeSample } from "./sample.ts";

export const fuseUsage = "fuse [--files N] [--runs N] [--cold] [--json]";

const url = "bench://sample";
const maxFiles = 1_000_000;
const maxRuns = 100;

/** What is done to a directory, each by one process. */
const walks = {
  "stat everything": (directory: string) => ["find", directory, "-printf", "%s %T@ %m\\n"],
  "list names": (directory: string) => ["find", directory, "-name", "nothing"],
  "read everything": (directory: string) => ["grep", "-rc", "file", directory],
} as const;

interface Row {
  readonly walk: string;
  readonly state: "cold" | "warm";
  /** Milliseconds, medians. */
  readonly ours: number;
  readonly overlayfs: number;
  readonly ratio: number;
}

export async function runFuse(options: string[], signal: AbortSignal): Promise<number> {
  const { files, runs, cold, json } = readFlags(options);
  const machine = await describeMachine();
  await using stack = new AsyncDisposableStack();
  const home = await mkdtemp(join(tmpdir(), "xeno-bench-fuse-"));
  stack.defer(() => rm(home, { recursive: true }));
  const [ours, peer, layers] = ["union", "overlayfs", "layers"].map((name) => join(home, name));
  for (const directory of [ours, peer, layers]) await mkdir(directory);

  process.stderr.write(`making ${files} files\n`);
  await execa("mount", ["-t", "tmpfs", "bench", layers], { env: systemEnvironment });
  stack.defer(async () => void (await execa("umount", [layers], { env: systemEnvironment })));
  const [lower, upper, work] = ["lower", "upper", "work"].map((name) => join(layers, name));
  for (const directory of [lower, upper, work]) await mkdir(directory);
  await writeSample(lower, files);
  const mountOptions = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
  await execa("mount", ["-t", "overlay", "bench", "-o", mountOptions, peer], { env: systemEnvironment });
  stack.defer(async () => void (await execa("umount", [peer], { env: systemEnvironment })));
  const tree = sealSample(files);
  const union = await openUnion({ journal: join(layers, "journal"), base: url, resolve: async () => tree, signal });
  stack.defer(() => union.close());
  const mount = await mountFileSystem(union, ours, { name: url, signal });
  stack.defer(() => mount.unmount());

  const rows: Row[] = [];
  for (const [walk, command] of Object.entries(walks))
    for (const state of cold ? (["cold", "warm"] as const) : (["warm"] as const)) {
      process.stderr.write(`${walk}, ${state}\n`);
      const samples: { ours: number[]; overlayfs: number[] } = { ours: [], overlayfs: [] };
      for (let run = 0; run < runs; run++)
        for (const [who, directory] of [
          ["ours", ours],
          ["overlayfs", peer],
        ] as const) {
          signal.throwIfAborted();
          if (state === "cold") await writeFile("/proc/sys/vm/drop_caches", "3");
          else if (run === 0) await time(command(directory));
          samples[who].push(await time(command(directory)));
        }
      const [mine, theirs] = [samples.ours, samples.overlayfs].map((each) => describeSamples(each)!.median);
      rows.push({ walk, state, ours: mine, overlayfs: theirs, ratio: mine / theirs });
    }
  if (json) process.stdout.write(`${JSON.stringify({ machine, files, runs, rows })}\n`);
  else process.stdout.write(`${formatRows(rows, files, runs)}${formatMachine(machine)}\n`);
  return 0;
}

/** Milliseconds, with the start of the process. */
async function time([program, ...args]: string[]): Promise<number> {
  const start = performance.now();
  await execa(program, args, { env: systemEnvironment, stdout: "ignore", timeout: 600_000 });
  return performance.now() - start;
}

function formatRows(rows: readonly Row[], files: number, runs: number): string {
  const lines = rows.map(({ walk, state, ours, overlayfs, ratio }) => {
    const numbers = [ours, overlayfs].map((milliseconds) => milliseconds.toFixed(0).padStart(10));
    return `${`${walk}, ${state}`.padEnd(24)}${numbers.join("")}${ratio.toFixed(2).padStart(8)}\n`;
  });
  const head = `fuse: ${files} files, ${runs} runs in turn; medians in ms, and ours as a multiple of kernel overlayfs\n`;
  return `${head}${"".padEnd(24)}${"ours".padStart(10)}${"overlayfs".padStart(10)}${"ratio".padStart(8)}\n${lines.join("")}`;
}

function readFlags(options: string[]): { files: number; runs: number; cold: boolean; json: boolean } {
  const flags = {
    files: { type: "string", default: "20000" },
    runs: { type: "string", default: "7" },
    cold: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  } as const;
  try {
    const { values } = parseArgs({ args: options, options: flags });
    return {
      files: readCount("--files", values.files, maxFiles),
      runs: readCount("--runs", values.runs, maxRuns),
      cold: values.cold,
      json: values.json,
    };
  } catch (error) {
    throw error instanceof UsageError ? error : new UsageError((error as Error).message);
  }
}

function readCount(flag: string, text: string, most: number): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > most) throw new UsageError(`${flag} is 1 to ${most}`);
  return count;
}
