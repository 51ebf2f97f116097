/**
 * `bench fuse`: work in a mounted union beside the same in kernel overlayfs, fuse-overlayfs and unionfs-fuse, in turn, in one run.
 *
 * A warm walk is answered from the kernel's caches: it shows what FUSE costs when nobody is asked. With `--cold` everything is
 * also done after the whole machine's caches were dropped, which everybody else on it feels.
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { execa } from "execa";
import { systemEnvironment } from "../../xenod/system-path.ts";
import { describeMachine, formatMachine } from "../machine.ts";
import { readCount } from "../read-count.ts";
import { describeSamples } from "../statistics.ts";
import { UsageError } from "../usage-error.ts";
import { type Contender, contenderNames, mountContenders } from "./contenders.ts";
import { makeSample, sealSample, writeSample } from "./sample.ts";
import { type Workload, workloads } from "./workloads.ts";

export const fuseUsage = "fuse [--files N] [--runs N] [--cold] [--json]";

const maxFiles = 1_000_000;
const maxRuns = 100;

type State = "cold" | "warm";

interface Row {
  readonly workload: string;
  readonly state: State;
  /** Milliseconds, medians, by contender. */
  readonly medians: Readonly<Record<string, number>>;
}

export async function runFuse(options: string[], signal: AbortSignal): Promise<number> {
  const { files, runs, cold, json } = readFlags(options);
  const machine = await describeMachine();
  await using stack = new AsyncDisposableStack();
  const home = await mkdtemp(join(tmpdir(), "xeno-bench-fuse-"));
  stack.defer(() => rm(home, { recursive: true }));
  process.stderr.write(`making ${files} files\n`);
  const layers = join(home, "layers");
  await mkdir(layers);
  await execa("mount", ["-t", "tmpfs", "bench", layers], { env: systemEnvironment });
  stack.defer(async () => void (await execa("umount", [layers], { env: systemEnvironment })));
  const [lower, upper] = [join(layers, "lower"), join(layers, "upper")];
  for (const directory of [lower, upper]) await mkdir(directory);
  const sample = await makeSample(files);
  await writeSample(lower, sample);
  const contenders = await mountContenders({ home, lower, upper, tree: sealSample(sample), signal }, stack);

  const rows: Row[] = [];
  for (const state of cold ? (["warm", "cold"] as const) : (["warm"] as const))
    rows.push(...(await measure(contenders, { state, runs, signal })));
  if (json) process.stdout.write(`${JSON.stringify({ machine, files, runs, rows })}\n`);
  else process.stdout.write(`${formatRows(rows, files, runs)}${formatMachine(machine)}\n`);
  return 0;
}

interface Turns {
  readonly state: State;
  readonly runs: number;
  readonly signal: AbortSignal;
}

/** All workloads of one run follow each other in a directory, as the later ones need what the earlier ones made. */
async function measure(contenders: readonly Contender[], { state, runs, signal }: Turns): Promise<Row[]> {
  const samples = new Map<string, number[]>();
  const keyOf = (workload: Workload, { name }: Contender) => `${workload.name}/${name}`;
  // The first run, numbered 0, warms up.
  for (let run = 0; run <= runs; run++)
    for (const workload of workloads) {
      process.stderr.write(`${state}, run ${run} of ${runs}: ${workload.name}\n`);
      for (const contender of turned(contenders, run)) {
        signal.throwIfAborted();
        if (state === "cold") await writeFile("/proc/sys/vm/drop_caches", "3");
        const milliseconds = await time(workload, contender, `${state === "cold" ? 1000 + run : run}`, signal);
        const key = keyOf(workload, contender);
        if (run > 0) samples.set(key, [...(samples.get(key) ?? []), milliseconds]);
      }
    }
  return workloads.map((workload) => {
    const medians = contenders.map((each) => [each.name, describeSamples(samples.get(keyOf(workload, each))!)!.median]);
    return { workload: workload.name, state, medians: Object.fromEntries(medians) };
  });
}

/** Each run begins with another one. */
function turned<T>(all: readonly T[], run: number): T[] {
  const first = run % all.length;
  return [...all.slice(first), ...all.slice(0, first)];
}

/** Milliseconds, with the start of the process. */
async function time({ script }: Workload, { directory }: Contender, run: string, signal: AbortSignal): Promise<number> {
  const start = performance.now();
  const options = { env: systemEnvironment, stdin: "ignore", timeout: 600_000, cancelSignal: signal } as const;
  await execa("sh", ["-ec", script, "sh", directory, run], options);
  return performance.now() - start;
}

function formatRows(rows: readonly Row[], files: number, runs: number): string {
  const peers = contenderNames.slice(1);
  const line = (name: string, cells: readonly string[]) =>
    `${name.padEnd(26)}${cells.map((cell) => cell.padStart(16)).join("")}\n`;
  const lines = rows.map(({ workload, state, medians }) => {
    const cells = peers.map((peer) => `${medians[peer].toFixed(0)} (${(medians.ours / medians[peer]).toFixed(2)})`);
    return line(`${workload}, ${state}`, [medians.ours.toFixed(0), ...cells]);
  });
  const head = `fuse: ${files} files, ${runs} runs in turn; medians in ms, and in brackets ours as a multiple of the peer's\n`;
  return `${head}${line("", contenderNames)}${lines.join("")}`;
}

function readFlags(options: string[]): { files: number; runs: number; cold: boolean; json: boolean } {
  const flags = {
    files: { type: "string", default: "20000" },
    runs: { type: "string", default: "5" },
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
