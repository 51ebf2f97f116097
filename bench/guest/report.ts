/** The result: a row for each work, with the medians of all and ours over each peer's. */
import { formatTable, type Row } from "../../control/cli/output.ts";
import type { KvmVerdict } from "../../xenod/hypervisors/qemu/kvm-probe.ts";
import { formatMachine, type Machine } from "../machine.ts";
import { type Distribution, describeSamples } from "../statistics.ts";
import type { Contender, Figures } from "./contender.ts";

export interface GuestResult {
  readonly contender: Contender;
  readonly runs: Figures[];
}

export interface GuestReport {
  readonly machine: Machine;
  readonly kvm: KvmVerdict;
  readonly results: readonly GuestResult[];
}

export function formatReport({ machine, kvm, results }: GuestReport): string {
  const [ours, ...peers] = results.map(({ contender, runs }) => ({ ...contender, figures: describeFigures(runs) }));
  const seconds = ({ median }: Distribution) => (median / 1000).toFixed(1);
  const rows = Object.entries(ours.figures).map(([work, figure]): Row => {
    const theirs = peers.map(({ name, figures }): Row => {
      const their = figures[work];
      return { [name]: seconds(their), [`of ${name}`]: (figure.median / their.median).toFixed(2) };
    });
    return Object.assign({ "": work, [ours.name]: seconds(figure), least: (figure.min / 1000).toFixed(1) }, ...theirs);
  });
  return [
    `guest: ${results[0].runs.length} runs each, in turn; medians in s, and ours over theirs: below 1 ours is faster`,
    formatMachine(machine),
    `${kvm.works ? "KVM" : "TCG, without KVM"}: ${kvm.reason}`,
    ...results.map(({ contender: { name, title } }) => `${name}: ${title}`),
    "",
    formatTable(rows),
  ].join("\n");
}

export function summarizeReport({ machine, kvm, results }: GuestReport): object {
  return {
    benchmark: "guest",
    ok: true,
    machine: { ...machine, kvm },
    results: Object.fromEntries(
      results.map(({ contender, runs }) => [contender.name, { figures: describeFigures(runs), runs }]),
    ),
  };
}

function describeFigures(runs: readonly Figures[]): Record<string, Distribution> {
  const names = Object.keys(runs[0]);
  return Object.fromEntries(names.map((name) => [name, describeSamples(runs.map((figures) => figures[name]))!]));
}
