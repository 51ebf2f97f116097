/** The result: a row for each work, with the medians of all and ours over each peer's. */
import { formatTable, type Row } from "../../control/cli/output.ts";
import type { KvmVerdict } from "../../xenod/hypervisors/qemu/kvm-probe.ts";
import { formatMachine, type Machine } from "../machine.ts";
import { type Distribution, describeSamples } from "../statistics.ts";
import type { Contender } from "./contender.ts";
import type { Measured } from "./follow-work.ts";

const shownProcedures = 12;

export interface GuestResult {
  readonly contender: Contender;
  readonly runs: Measured[];
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
    ...formatRequests(results),
  ].join("\n");
}

/** How long the guest waited for answers in its work: what a server takes, and the way to it and back. */
function formatRequests(results: readonly GuestResult[]): string[] {
  const counted = results
    .map(({ contender: { name }, runs }) => ({ name, requests: runs[0].requests }))
    .filter(({ requests }) => Object.keys(requests).length > 0);
  const procedures = [...new Set(counted.flatMap(({ requests }) => Object.keys(requests)))];
  const total = (procedure: string) => Math.max(...counted.map(({ requests }) => requests[procedure]?.ms ?? 0));
  const rows = procedures
    .toSorted((a, b) => total(b) - total(a))
    .slice(0, shownProcedures)
    .map((procedure): Row => {
      const cells = counted.map(({ name, requests: { [procedure]: { count, ms } = { count: 0, ms: 0 } } }): Row => {
        return { [name]: count, [`ms of ${name}`]: count === 0 ? "" : (ms / count).toFixed(2) };
      });
      return Object.assign({ "": procedure }, ...cells);
    });
  return rows.length === 0
    ? []
    : ["", "requests of the first run's work, and how long each took:", "", formatTable(rows)];
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

function describeFigures(runs: readonly Measured[]): Record<string, Distribution> {
  const names = Object.keys(runs[0].figures);
  return Object.fromEntries(names.map((name) => [name, describeSamples(runs.map(({ figures }) => figures[name]))!]));
}
