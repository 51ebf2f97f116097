/** `bench tree`: what a template of a million inodes takes, of time until it can be served and of memory. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { execa } from "execa";
import { printJson } from "../../control/cli/output.ts";
import { describeMachine, formatMachine } from "../machine.ts";
import { readCount } from "../read-count.ts";
import { describeSamples } from "../statistics.ts";
import { UsageError } from "../usage-error.ts";

export const treeUsage = "tree [--files N] [--runs N] [--json]";

/** What one process says of its opening: open-index.ts. */
export interface Opening {
  /** From the index in memory to a tree that answers. */
  readonly ms: number;
  readonly cpuMs: number;
  /** What the process holds more than before it read the index. */
  readonly memoryBytes: number;
}

const maxFiles = 4_000_000;
const maxRuns = 100;

export async function runTree(options: string[], signal: AbortSignal): Promise<number> {
  const { files, runs, json } = readFlags(options);
  const machine = await describeMachine();
  const directory = await mkdtemp(join(tmpdir(), "xeno-bench-tree-"));
  try {
    const index = join(directory, "index");
    process.stderr.write(`making a tree of ${files} files\n`);
    const id = (await runNode("write-index.ts", [index, `${files}`], signal)).trim();
    const openings: Opening[] = [];
    for (let run = 0; run < runs; run++) openings.push(JSON.parse(await runNode("open-index.ts", [index, id], signal)));
    if (json) printJson({ machine, files, openings });
    else process.stdout.write(`${formatOpenings(openings, files)}${formatMachine(machine)}\n`);
    return 0;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function runNode(program: string, options: readonly string[], signal: AbortSignal): Promise<string> {
  // The tree is made of objects: 4 million of them take 6 GB until they are encoded.
  const flags = ["--no-warnings", "--expose-gc", "--max-old-space-size=12000"];
  const command = [...flags, join(import.meta.dirname, program), ...options];
  const { stdout } = await execa(process.execPath, command, {
    stdin: "ignore",
    stderr: "inherit",
    cancelSignal: signal,
  });
  return stdout;
}

function formatOpenings(openings: readonly Opening[], files: number): string {
  const median = (of: (opening: Opening) => number) => describeSamples(openings.map(of))!.median;
  const milliseconds = `${median(({ ms }) => ms).toFixed(0)} ms, ${median(({ cpuMs }) => cpuMs).toFixed(0)} of the processor`;
  const megabytes = (median(({ memoryBytes }) => memoryBytes) / 1e6).toFixed(0);
  return `tree: ${files} files; medians of ${openings.length} processes\nopened in ${milliseconds} (goal of a million: 200 ms)\nmemory ${megabytes} MB (goal of a million: 150 MB)\n`;
}

function readFlags(options: string[]): { files: number; runs: number; json: boolean } {
  const flags = {
    files: { type: "string", default: "1000000" },
    runs: { type: "string", default: "5" },
    json: { type: "boolean", default: false },
  } as const;
  try {
    const { files, runs, json } = parseArgs({ args: options, options: flags }).values;
    return { files: readCount("--files", files, maxFiles), runs: readCount("--runs", runs, maxRuns), json };
  } catch (error) {
    throw error instanceof UsageError ? error : new UsageError((error as Error).message);
  }
}
