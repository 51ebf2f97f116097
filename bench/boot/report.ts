/** The result of a boot benchmark: as tables, and as one object. */
import { formatTable, type Row } from "../../control/cli/output.ts";
import type { TreeFigures } from "../../control/demo/prepare.ts";
import type { KvmVerdict } from "../../xenod/hypervisors/qemu/kvm-probe.ts";
import { formatMachine, type Machine } from "../machine.ts";
import type { Distribution } from "../statistics.ts";
import type { ContenderResult } from "./repeat-boots.ts";
import { type BootSummary, summarizeBoots } from "./timeline.ts";

export interface BootReport {
  readonly runs: number;
  readonly machine: Machine;
  readonly kvm: KvmVerdict;
  readonly template: TreeFigures;
  readonly overlay: TreeFigures;
  readonly results: readonly ContenderResult[];
}

interface Halves {
  /** The first run: nothing is cached yet. */
  readonly first: BootSummary | undefined;
  readonly warm: BootSummary | undefined;
}

/** Of a peer, as ratios. */
const compared = ["bootMs", "answerMs", "guestCpuMs"] as const;

export function formatReport({ runs, machine, kvm, results }: BootReport): string {
  const lines = [
    `boot: ${runs} runs, ${results[0].contender.guests.length} guests at a time; ms. The first run, with cold caches, is`,
    "FIRST (the median, where it has several guests); the other figures are of the runs after it.",
    formatMachine(machine),
    `${kvm.works ? "KVM" : "TCG, without KVM"}: ${kvm.reason}`,
  ];
  for (const { contender, boots, failures } of results) {
    const halves = splitRuns(boots);
    lines.push("", `${contender.title}: duration of each step, since the one before it`);
    lines.push(formatSteps(halves, "sincePrevious"));
    lines.push("", `${contender.title}: since acceptance`, formatSteps(halves, "sinceAcceptance"));
    lines.push(
      "",
      `${contender.title}: acceptance to init, command to page, removal; processor time until the page`,
      formatWhole(halves),
    );
    if (failures.length > 0) lines.push(`${failures.length} of ${failures.length + boots.length} boots failed`);
  }
  const [ours, ...peers] = results;
  for (const peer of peers) {
    const ratios = compare(ours, peer);
    if (ratios === undefined) continue;
    const figures = Object.entries(ratios).map(([figure, ratio]) => `${figure} ${ratio}`);
    lines.push("", `${ours.contender.title} over ${peer.contender.title}, medians: ${figures.join(", ")}`);
  }
  return `${lines.join("\n")}\n`;
}

export function summarizeReport({ runs, machine, kvm, template, overlay, results }: BootReport): object {
  const [ours, ...peers] = results;
  return {
    benchmark: "boot",
    ok: results.every(({ failures }) => failures.length === 0),
    runs,
    servers: ours.contender.guests.length,
    machine: { ...machine, kvm },
    template,
    overlay,
    results: Object.fromEntries(
      results.map(({ contender, boots, failures }) => [contender.name, { ...splitRuns(boots), failures, boots }]),
    ),
    ratios: Object.fromEntries(peers.map((peer) => [peer.contender.name, compare(ours, peer)])),
  };
}

function splitRuns(boots: ContenderResult["boots"]): Halves {
  return {
    first: summarizeBoots(boots.filter(({ run }) => run === 1)),
    warm: summarizeBoots(boots.filter(({ run }) => run > 1)),
  };
}

/** Ours over theirs; undefined until both have a warm run. */
function compare(ours: ContenderResult, theirs: ContenderResult): Record<string, number> | undefined {
  const [our, their] = [splitRuns(ours.boots).warm, splitRuns(theirs.boots).warm];
  if (our === undefined || their === undefined) return undefined;
  const divide = (figure: (typeof compared)[number]) => Number((our[figure].median / their[figure].median).toFixed(2));
  return Object.fromEntries(compared.map((figure) => [figure, divide(figure)]));
}

function formatSteps(halves: Halves, since: "sincePrevious" | "sinceAcceptance"): string {
  const steps = Object.keys((halves.warm ?? halves.first)?.steps ?? {});
  const shown = since === "sinceAcceptance" ? steps.filter((step) => step !== "accepted") : steps;
  return formatLines(
    shown.map((step) => formatRow(step, halves.first?.steps[step][since], halves.warm?.steps[step][since])),
  );
}

function formatWhole({ first, warm }: Halves): string {
  return formatLines(
    (["bootMs", "answerMs", "removeMs", "guestCpuMs", "serverCpuMs"] as const).map((figure) =>
      formatRow(figure, first?.[figure], warm?.[figure]),
    ),
  );
}

function formatLines(rows: readonly Row[]): string {
  return formatTable(rows).trimEnd();
}

function formatRow(what: string, first: Distribution | undefined, warm: Distribution | undefined): Row {
  const show = (ms: number | undefined) => (ms === undefined ? "-" : Math.round(ms));
  return {
    "": what,
    first: show(first?.median),
    min: show(warm?.min),
    median: show(warm?.median),
    p90: show(warm?.p90),
    max: show(warm?.max),
  };
}
