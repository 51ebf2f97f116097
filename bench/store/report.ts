/** The comparison as a table, with what was aimed at and what was reached. */
import { formatTable } from "../../control/cli/output.ts";
import { formatMachine, type Machine } from "../machine.ts";
import type { Cost } from "./measure.ts";

export interface Result {
  readonly name: string;
  readonly deduplicates: boolean;
  /** Of the tree; of the tree with 2 % of its files changed, as a directory. */
  readonly first: Cost;
  readonly second: Cost;
  /** The same changes, from a journal over the first version. */
  readonly fromJournal?: Cost;
  readonly pull: Cost;
  /** With nothing in the cache. */
  readonly firstByte?: Cost;
  readonly bytesFirst: number;
  readonly bytesBoth: number;
}

export interface StoreReport {
  readonly machine: Machine;
  readonly tree: { readonly files: number; readonly bytes: number; readonly changed: number };
  readonly isQuick: boolean;
  readonly results: readonly Result[];
}

export interface Goal {
  readonly goal: string;
  /** How many times better than the best peer, by the clock and by processor time. */
  readonly clock: number;
  readonly processor?: number;
  readonly wanted: number;
}

/** Empty where there is nobody to compare with. */
export function judge(results: readonly Result[]): Goal[] {
  const ours = results.find(({ name }) => name === "xeno");
  const others = results.filter(({ name }) => name !== "xeno");
  const deduplicating = others.filter(({ deduplicates }) => deduplicates);
  if (ours?.fromJournal === undefined || ours.firstByte === undefined || deduplicating.length === 0) return [];
  const compare = (goal: string, wanted: number, peers: readonly Cost[], mine: Cost): Goal => ({
    goal,
    clock: Math.min(...peers.map(({ seconds }) => seconds)) / mine.seconds,
    processor: Math.min(...peers.map(({ processorSeconds }) => processorSeconds)) / mine.processorSeconds,
    wanted,
  });
  const best = Math.min(...others.map(({ bytesFirst }) => bytesFirst));
  return [
    compare(
      "first publish",
      2,
      deduplicating.map(({ first }) => first),
      ours.first,
    ),
    compare(
      "second publish, journal",
      10,
      deduplicating.map(({ second }) => second),
      ours.fromJournal,
    ),
    compare(
      "cold first byte, to full pull",
      20,
      others.map(({ pull }) => pull),
      ours.firstByte,
    ),
    { goal: "bytes stored", clock: best / ours.bytesFirst, wanted: 1 / 1.05 },
  ];
}

export function formatReport({ machine, tree, isQuick, results }: StoreReport): string {
  const show = (cost: Cost | undefined) =>
    cost === undefined ? "" : `${cost.seconds.toFixed(1)} (${cost.processorSeconds.toFixed(1)})`;
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(0)}`;
  const rows = results.map((result) => ({
    store: result.name,
    first: show(result.first),
    second: show(result.second),
    journal: show(result.fromJournal),
    pull: show(result.pull),
    "first byte": show(result.firstByte),
    MB: megabytes(result.bytesFirst),
    "MB both": megabytes(result.bytesBoth),
  }));
  const goals = judge(results).map(({ goal, clock, processor, wanted }) => ({
    goal,
    "times as good": clock.toFixed(2),
    "by processor time": processor?.toFixed(2),
    wanted: wanted.toFixed(2),
    reached: clock >= wanted ? "yes" : "no",
  }));
  return `store: a Debian tree of ${tree.files} files, ${megabytes(tree.bytes)} MB; ${tree.changed} of them changed for the second publication${isQuick ? "; --quick" : ""}
seconds by the clock (of processor time). ${formatMachine(machine)}

${formatTable(rows)}
${formatTable(goals)}`;
}
