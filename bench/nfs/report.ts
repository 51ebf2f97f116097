/** The comparison as a table, and as one object. */
import { formatTable } from "../../control/cli/output.ts";
import { formatMachine, type Machine } from "../machine.ts";
import { describeSamples } from "../statistics.ts";
import {
  arrangements,
  type Condition,
  type DataSize,
  type Measurement,
  type Row,
  rows,
  severalCondition,
} from "./rows.ts";

export interface NfsReport {
  readonly machine: Machine;
  readonly peer: string;
  readonly size: DataSize;
  readonly repetitions: number;
  readonly seconds: number;
  readonly isQuick: boolean;
  readonly conditions: readonly Condition[];
  readonly measurements: readonly Measurement[];
}

interface Side {
  /** Units or bytes per second; for `time` rows the seconds that one unit took. The median of the repetitions. */
  readonly speed: number;
  /** Server, in microseconds for each unit. */
  readonly processorMicroseconds: number;
}

export interface Line {
  readonly condition: string;
  readonly row: Row;
  readonly depth: number;
  readonly ours: Side;
  readonly peer: Side;
  /** How many times as fast ours is. */
  readonly times: number;
  /** Undefined where the row has another goal than speed: on disk. */
  readonly goal: number | undefined;
}

/** The median of each row at each depth under each condition, where both were measured. */
export function summarize({ conditions, measurements }: NfsReport): Line[] {
  const lines: Line[] = [];
  for (const condition of conditions)
    for (const row of rows)
      for (const depth of Object.keys(row.goals).map(Number)) {
        const these = measurements.filter(
          (one) => one.condition === condition.name && one.row === row.name && one.depth === depth,
        );
        const [ours, peer] = ["xeno", "ganesha"].map((server) =>
          summarizeSide(
            row,
            these.filter((one) => one.server === server),
          ),
        );
        if (ours === undefined || peer === undefined) continue;
        const times = row.measure === "time" ? peer.speed / ours.speed : ours.speed / peer.speed;
        const goal = condition.storage === "tmpfs" ? row.goals[depth] : undefined;
        lines.push({ condition: condition.name, row, depth, ours, peer, times, goal });
      }
  return lines;
}

function summarizeSide(row: Row, measurements: readonly Measurement[]): Side | undefined {
  const speeds = measurements.map(({ units, bytes, seconds }) => {
    if (row.measure === "time") return seconds;
    return (row.measure === "bytes" ? bytes : units) / seconds;
  });
  const costs = measurements.map(({ processorSeconds, units }) => (processorSeconds / units) * 1e6);
  const speed = describeSamples(speeds)?.median;
  if (speed === undefined) return undefined;
  return { speed, processorMicroseconds: describeSamples(costs)!.median };
}

export function formatReport(report: NfsReport): string {
  const { machine, peer, size, repetitions, seconds, isQuick } = report;
  const mebibytes = (bytes: number) => `${bytes / 2 ** 20} MiB`;
  const lines = summarize(report);
  const text = [
    `nfs: XenoServer beside nfs-ganesha on kernel overlayfs; medians of ${repetitions} runs of ${seconds} s each`,
    `${size.names} names, ${mebibytes(size.dataBytes)} in sequence, large lower files of ${mebibytes(size.bigBytes)} and half that`,
    `${formatMachine(machine)}; ${peer}`,
  ];
  if (isQuick) text.push("A quick run: shows that all works, and no more.");
  for (const { name } of report.conditions) {
    const these = lines.filter(({ condition }) => condition === name);
    if (these.length > 0) text.push("", `${name}:`, formatTable(these.map(formatLine)).trimEnd());
  }
  const several = formatSeveral(report.measurements);
  if (several.length > 0)
    text.push("", `${severalCondition}, depth 16 each; µs of the servers:`, formatTable(several).trimEnd());
  return `${text.join("\n")}\n`;
}

/** All exports of an arrangement together; in brackets, times the first. */
function formatSeveral(measurements: readonly Measurement[]) {
  const these = measurements.filter(({ condition }) => condition === severalCondition);
  const measuredRows = rows.filter(({ name }) => these.some((one) => one.row === name));
  const known = new Map<string, number>();
  return arrangements.flatMap(({ name }) => {
    const cells: Record<string, string> = {};
    for (const row of measuredRows) {
      const ours = these.filter((one) => one.row === row.name && one.server === name);
      const side = summarizeSide(row, ours);
      if (side === undefined) continue;
      if (!known.has(row.name)) known.set(row.name, side.speed);
      const times = (side.speed / known.get(row.name)!).toFixed(2);
      cells[row.title] = `${formatSpeed(row, side.speed)} (${times})`;
      cells[`${row.title} µs`] = side.processorMicroseconds.toPrecision(3);
    }
    return Object.keys(cells).length === 0 ? [] : [{ arrangement: name, ...cells }];
  });
}

function formatLine({ row, depth, ours, peer, times, goal }: Line) {
  return {
    row: row.title,
    depth,
    ours: formatSpeed(row, ours.speed),
    peer: formatSpeed(row, peer.speed),
    times: times.toPrecision(3),
    goal: goal === undefined ? undefined : String(goal),
    met: goal === undefined ? undefined : times >= goal ? "yes" : "no",
    "ours µs": ours.processorMicroseconds.toPrecision(3),
    "peer µs": peer.processorMicroseconds.toPrecision(3),
  };
}

function formatSpeed({ measure }: Row, speed: number): string {
  if (measure === "time") return `${(speed * 1000).toPrecision(3)} ms`;
  if (measure === "bytes") return `${(speed / 1e9).toPrecision(3)} GB/s`;
  return speed >= 10_000 ? `${(speed / 1000).toFixed(1)}k/s` : `${speed.toFixed(0)}/s`;
}

export function summarizeReport(report: NfsReport): object {
  const { machine, peer, size, repetitions, seconds, isQuick, measurements } = report;
  const results = summarize(report).map(({ row, ...line }) => ({ ...line, row: row.name, measure: row.measure }));
  return { benchmark: "nfs", machine, peer, size, repetitions, seconds, isQuick, results, measurements };
}
