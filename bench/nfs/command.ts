/** `bench nfs`: our server beside nfs-ganesha on kernel overlayfs, operation by operation. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { XenoError } from "../../cowfs/errors.ts";
import { describeMachine } from "../machine.ts";
import { UsageError } from "../usage-error.ts";
import type { Report } from "./inside.ts";
import { compileClient, readPeerVersions, requireTools } from "./prepare-tools.ts";
import { formatReport, summarizeReport } from "./report.ts";
import {
  type Assignment,
  type Condition,
  conditions,
  fullSize,
  type Measurement,
  quickSize,
  rows,
  severalRow,
} from "./rows.ts";

export const nfsUsage = "nfs [--quick] [--runs N] [--seconds S] [--rows a,b] [--profile DIRECTORY] [--json]";

const program = new URL("inside.ts", import.meta.url).pathname;
const maxRuns = 100;
const maxSeconds = 600;

interface NfsFlags {
  readonly isQuick: boolean;
  readonly runs: number;
  readonly seconds: number;
  readonly rows: readonly string[];
  readonly profile: string | undefined;
  readonly json: boolean;
}

export async function runNfs(options: string[], signal: AbortSignal): Promise<number> {
  const flags = readFlags(options);
  requireTools();
  const machine = await describeMachine();
  // On disk: /tmp may be a tmpfs, and some rows are about what a disk costs.
  const parent = existsSync("/var/tmp") ? "/var/tmp" : tmpdir();
  const directory = await mkdtemp(join(parent, "xeno-bench-nfs-"));
  try {
    await compileClient(directory);
    if (flags.profile !== undefined) await mkdir(flags.profile, { recursive: true });
    const assignment: Assignment = {
      directory,
      size: flags.isQuick ? quickSize : fullSize,
      conditions: chooseConditions(flags),
      rows: flags.rows,
      repetitions: flags.runs,
      seconds: flags.seconds,
      profile: flags.profile,
    };
    const { measurements, failure } = await runInside(assignment, signal);
    const { conditions: measured, size, repetitions, seconds } = assignment;
    const peer = readPeerVersions();
    const report = {
      machine,
      peer,
      size,
      repetitions,
      seconds,
      isQuick: flags.isQuick,
      conditions: measured,
      measurements,
    };
    process.stdout.write(flags.json ? `${JSON.stringify(summarizeReport(report))}\n` : formatReport(report));
    if (failure !== undefined) throw failure;
    return 0;
  } catch (error) {
    await tellLogs(join(directory, "logs"));
    throw error;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function chooseConditions({ isQuick, profile }: NfsFlags): readonly Condition[] {
  const [pinned, , disk] = conditions;
  if (profile !== undefined) return [pinned];
  return isQuick ? [pinned, disk] : conditions;
}

/** What was measured, also where a row has failed. */
interface Outcome {
  readonly measurements: Measurement[];
  readonly failure: unknown;
}

/** Settles once everything inside is gone: the kernel sees to that when the first process of the namespaces ends. */
function runInside(assignment: Assignment, signal: AbortSignal): Promise<Outcome> {
  const namespaces = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
  const child = spawn("unshare", [...namespaces, process.execPath, "--no-warnings", program], {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
    // Ctrl-C is ours to handle: the terminal would tell the processes inside, too.
    detached: true,
  });
  const measurements: Measurement[] = [];
  let failure: unknown;
  let isDone = false;
  const end = () => child.kill("SIGKILL");
  signal.addEventListener("abort", end, { once: true });
  child.on("message", (report: Report) => {
    if (report.kind === "progress") process.stderr.write(`${report.text}\n`);
    else if (report.kind === "measurement") measurements.push(report.measurement);
    else {
      if (report.kind === "failed") failure = new XenoError(report.code, report.message);
      isDone = true;
      child.disconnect();
    }
  });
  child.send(assignment, () => {});
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, how) => {
      signal.removeEventListener("abort", end);
      if (signal.aborted) reject(signal.reason);
      else if (failure !== undefined && measurements.length === 0) reject(failure);
      else if (isDone) resolve({ measurements, failure });
      else reject(new XenoError("benchmark-process", `the benchmark ended early (${how ?? code})`));
    });
  });
}

async function tellLogs(logs: string): Promise<void> {
  for (const name of ["ganesha.log", "xeno.log", "setup.log"]) {
    const text = await readFile(join(logs, name), "utf8").catch(() => "");
    if (text !== "") process.stderr.write(`${name}:\n${text.split("\n").slice(-12).join("\n")}\n`);
  }
}

function readFlags(options: string[]): NfsFlags {
  try {
    const { values } = parseArgs({
      args: options,
      options: {
        quick: { type: "boolean" },
        runs: { type: "string" },
        seconds: { type: "string" },
        rows: { type: "string" },
        profile: { type: "string" },
        json: { type: "boolean" },
      },
    });
    const isQuick = values.quick ?? false;
    const runs = Number(values.runs ?? (isQuick ? 1 : 3));
    if (!Number.isInteger(runs) || runs < 1 || runs > maxRuns)
      throw new UsageError(`--runs is a number from 1 to ${maxRuns}`);
    const seconds = Number(values.seconds ?? (isQuick ? 0.3 : 1));
    if (!(seconds >= 0.01 && seconds <= maxSeconds)) throw new UsageError(`--seconds is a number up to ${maxSeconds}`);
    const known = [...rows.map(({ name }) => name), severalRow];
    const wanted = values.rows?.split(",") ?? known;
    const unknown = wanted.find((name) => !known.includes(name));
    if (unknown !== undefined) throw new UsageError(`there is no row '${unknown}'; there are ${known.join(", ")}`);
    const profile = values.profile === undefined ? undefined : resolve(values.profile);
    return { isQuick, runs, seconds, rows: wanted, profile, json: values.json ?? false };
  } catch (error) {
    throw error instanceof UsageError ? error : new UsageError((error as Error).message);
  }
}
