/** The benchmark's processes: started by argument list, known by pid, and what they say when they fail. */
import { spawn } from "node:child_process";
import { openSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { XenoError } from "../../cowfs/errors.ts";
import { systemEnvironment } from "../../xenod/system-path.ts";

export interface Child {
  readonly pid: number;
  /** The next line of its stdout. Rejects with `benchmark-process` when it ends without one. */
  readLine(): Promise<string>;
  tell(line: string): void;
  /** Settles with its exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;
  end(signal?: NodeJS.Signals): Promise<void>;
}

/** Starts a command; its stderr goes to `log`. `core` pins it, with all its threads, to one core. */
export function startChild(words: readonly string[], log: string, core?: number): Child {
  const [command, ...rest] = core === undefined ? words : ["taskset", "--cpu-list", String(core), ...words];
  const child = spawn(command, rest, {
    stdio: ["pipe", "pipe", openSync(log, "a")],
    env: systemEnvironment,
  });
  child.stdin!.on("error", () => {});
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const ended = new Promise<number | NodeJS.Signals>((resolve) => {
    child.once("error", () => resolve(127));
    child.once("exit", (code, signal) => resolve(code ?? signal ?? 1));
  });
  return {
    pid: child.pid ?? 0,
    ended,
    async readLine() {
      const { value, done } = await lines.next();
      if (done) throw failure(words, await ended, log);
      return value;
    },
    tell: (line) => void child.stdin!.write(`${line}\n`),
    async end(signal = "SIGTERM") {
      child.kill(signal);
      const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
      await ended;
      clearTimeout(timer);
    },
  };
}

/** Runs a command to its end. Rejects with `benchmark-process`. */
export async function runChild(words: readonly string[], log: string): Promise<void> {
  const child = startChild(words, log);
  const code = await child.ended;
  if (code !== 0) throw failure(words, code, log);
}

function failure(words: readonly string[], code: number | string, log: string): XenoError {
  const said = readFileSync(log, "utf8").trim().split("\n").slice(-5).join("\n");
  return new XenoError("benchmark-process", `${words.join(" ")} ended with ${code}: ${said}`);
}

const ticksPerSecond = 100;

/** User and system time of a process with all its threads, in seconds (proc_pid_stat(5)). */
export function readProcessorSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  // The name may hold anything; the fields are counted from behind it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}
