/** `bench journal`: re-opening, group commit and folding of one journal, on the disk of /var/tmp. */
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { printJson } from "../../control/cli/output.ts";
import { describeMachine, type Machine } from "../machine.ts";
import { readCount } from "../read-count.ts";
import { UsageError } from "../usage-error.ts";
import { measureGroupCommit } from "./group-commit.ts";
import { measureOpening } from "./opening.ts";

export const journalUsage = "journal [--files N] [--seconds S] [--json]";

const maxFiles = 4_000_000;

interface JournalReport {
  readonly machine: Machine;
  readonly opening: Awaited<ReturnType<typeof measureOpening>>;
  readonly groupCommit: Awaited<ReturnType<typeof measureGroupCommit>>;
}

export async function runJournal(options: string[], signal: AbortSignal): Promise<number> {
  const { files, seconds, json } = readFlags(options);
  const machine = await describeMachine();
  // On disk: /tmp may be a tmpfs.
  const directory = await mkdtemp(join(existsSync("/var/tmp") ? "/var/tmp" : tmpdir(), "xeno-bench-journal-"));
  const tell = (text: string) => process.stderr.write(`${text}\n`);
  try {
    tell("group commit");
    const groupCommit = await measureGroupCommit(join(directory, "commits"), seconds, signal);
    const opening = await measureOpening(join(directory, "files"), files, tell, signal);
    const report: JournalReport = { machine, opening, groupCommit };
    if (json) printJson(report);
    else process.stdout.write(formatReport(report));
    return 0;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function readFlags(options: string[]): { files: number; seconds: number; json: boolean } {
  let values: { files?: string; seconds?: string; json?: boolean };
  try {
    values = parseArgs({
      args: options,
      options: { files: { type: "string" }, seconds: { type: "string" }, json: { type: "boolean" } },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const files = readCount("--files", values.files ?? "1000000", maxFiles);
  const seconds = Number(values.seconds ?? 5);
  if (!(seconds > 0 && seconds <= 600)) throw new UsageError("--seconds takes up to 600");
  return { files, seconds, json: values.json === true };
}

function formatReport({ machine, opening, groupCommit }: JournalReport): string {
  const { files, checkpointBytes, foldMs, longestWaitMs, longestTurnMs, openings } = opening;
  const { deep, sharedPerSecond, eachPerSecond } = groupCommit;
  const lines = openings.map(
    ({ ms, cpuMs, heapBytes }) =>
      `  ${Math.round(ms)} ms, processor ${Math.round(cpuMs)} ms, heap ${megabytes(heapBytes)}`,
  );
  return `${machine.cores} cores (${machine.processor}), Linux ${machine.kernel}, Node ${machine.node}, load ${machine.load} before

Opening ${files} files after a checkpoint of ${megabytes(checkpointBytes)}:
${lines.join("\n")}

Folding them took ${Math.round(foldMs)} ms beside 100 changes a second; the event loop's longest wait was ${longestWaitMs.toFixed(1)} ms, the
most that its thread worked in 10 ms of it ${longestTurnMs.toFixed(1)} ms of processor time.

Creates on stable storage: ${Math.round(sharedPerSecond)} a second ${deep} deep, ${Math.round(eachPerSecond)} with a sync each: ${(sharedPerSecond / eachPerSecond).toFixed(1)} times.
`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}
