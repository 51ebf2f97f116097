import { formatBytes, formatTable } from "../../control/cli/output.ts";
import type { TreeFigures } from "../../control/demo/prepare.ts";
import { formatMachine, type Machine } from "../machine.ts";
import type { BootFigures } from "./boot-in-turn.ts";
import type { ReadingFigures } from "./measure-reading.ts";

export interface PullReport {
  readonly machine: Machine;
  readonly template: TreeFigures;
  readonly reading: ReadingFigures | undefined;
  readonly boots: readonly BootFigures[] | undefined;
}

export function formatReport({ machine, template, reading, boots }: PullReport): string {
  const lines = [`pull: a template of ${template.files} files, ${formatBytes(template.bytes)}`, formatMachine(machine)];
  if (reading !== undefined) lines.push(...describeReading(reading));
  if (boots !== undefined)
    lines.push(
      "",
      "XenoServers with empty caches, one after the other, until the page came. GOAL: at most 10 % of the template on the",
      "first, at least 95 % ready on a later one. The last has the template laid out by the first one's boot trace.",
      formatTable(boots.map((boot) => bootRow(boot, template))),
    );
  return `${lines.join("\n")}\n`;
}

function describeReading({ bytes, firstByteMs, pulledMs, lazy, resident, file }: ReadingFigures): string[] {
  const rows = [
    { what: "pulled lazily in this life", "MB/s": Math.round(lazy), "of resident": (lazy / resident).toFixed(2) },
    { what: "resident since an earlier life", "MB/s": Math.round(resident), "of resident": "1.00" },
    { what: "one plain file", "MB/s": Math.round(file), "of resident": (file / resident).toFixed(2) },
  ];
  return [
    "",
    `From its store: first byte after ${firstByteMs.toFixed(0)} ms, all of it read after ${(pulledMs / 1000).toFixed(1)} s.`,
    `Reading ${formatBytes(bytes)} in pieces of 64 KiB at most, page cache warm; GOAL is 0.9 of what is resident.`,
    formatTable(rows),
  ];
}

function bootRow(boot: BootFigures, template: TreeFigures) {
  const { name, answerMs, templateBytes, demandedBytes, aheadBytes, requests, readBytes, readyBytes } = boot;
  return {
    server: name,
    "page s": (answerMs / 1000).toFixed(1),
    "of the template": `${((100 * templateBytes) / template.bytes).toFixed(1)} %`,
    "fetched on demand": formatBytes(demandedBytes),
    "ahead of it": formatBytes(aheadBytes),
    requests,
    "guest read": formatBytes(readBytes),
    ready: `${((100 * readyBytes) / Math.max(1, readBytes)).toFixed(1)} %`,
  };
}
