/** The result of moves: a table for each of those that made them, and the ratios that have goals. */
import { formatTable, type Row } from "../../control/cli/output.ts";
import type { KvmVerdict } from "../../xenod/hypervisors/qemu/kvm-probe.ts";
import { formatMachine, type Machine } from "../machine.ts";
import { type Distribution, describeSamples } from "../statistics.ts";
import type { Figures, Mover } from "./mover.ts";

export interface MoverResult {
  readonly mover: Mover;
  readonly runs: Figures[];
}

export interface MovesReport {
  readonly move: string;
  readonly service: string;
  readonly machine: Machine;
  readonly kvm: KvmVerdict;
  readonly results: readonly MoverResult[];
}

/** Where both have them. */
const compared = ["totalMs", "memoryBytes", "rootMs", "outageMs"];

export function formatReport({ move, service, machine, kvm, results }: MovesReport): string {
  const lines = [
    `${move} of ${service}: ${results[0].runs.length} runs, in turn; ms, but for bytes`,
    formatMachine(machine),
    `${kvm.works ? "KVM" : "TCG, without KVM"}: ${kvm.reason}`,
  ];
  for (const { mover, runs } of results) {
    const rows = Object.entries(describeFigures(runs)).map(([figure, { min, median, p90, max }]): Row => {
      const [least, middle, most, greatest] = [min, median, p90, max].map(Math.round);
      return { "": figure, min: least, median: middle, p90: most, max: greatest };
    });
    lines.push("", mover.title, formatTable(rows).trimEnd());
  }
  const ratios = Object.entries(compare(results)).map(([figure, ratio]) => `${figure} ${ratio}`);
  lines.push("", `XenoServer over bare QEMU, medians: ${ratios.join(", ")}`);
  const [ours, bare] = results.map(({ runs }) => describeFigures(runs).outageMs?.median);
  if (ours !== undefined && bare !== undefined)
    lines.push(
      `outage: ${Math.round(ours - bare)} ms more than bare QEMU, where the goal is 50; total: the goal is 1.10`,
    );
  return `${lines.join("\n")}\n`;
}

export function summarizeReport({ move, service, machine, kvm, results }: MovesReport): object {
  return {
    benchmark: move,
    service,
    ok: true,
    machine: { ...machine, kvm },
    results: Object.fromEntries(
      results.map(({ mover, runs }) => [mover.name, { figures: describeFigures(runs), runs }]),
    ),
    ratios: compare(results),
  };
}

/** Those that every run has. */
function describeFigures(runs: readonly Figures[]): Record<string, Distribution> {
  const names = Object.keys(runs[0] ?? {}).filter((name) => runs.every((figures) => name in figures));
  return Object.fromEntries(names.map((name) => [name, describeSamples(runs.map((figures) => figures[name]))!]));
}

/** Ours over the peer's. */
function compare([ours, theirs]: readonly MoverResult[]): Record<string, number> {
  const [our, their] = [describeFigures(ours.runs), describeFigures(theirs.runs)];
  const both = compared.filter((figure) => figure in our && figure in their);
  return Object.fromEntries(
    both.map((figure) => [figure, Number((our[figure].median / their[figure].median).toFixed(2))]),
  );
}
