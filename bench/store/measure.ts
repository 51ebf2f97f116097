/** Runs one command to its end and tells what it took: bash's `time`, which counts the processor time of all children. */
import { execa } from "execa";
import { XenoError } from "../../cowfs/errors.ts";
import { systemEnvironment } from "../../xenod/system-path.ts";

export interface Cost {
  readonly seconds: number;
  /** Of all its processes: user and system. Other programs on the machine change it far less. */
  readonly processorSeconds: number;
}

export async function measureCommand(
  command: readonly string[],
  options: { readonly env?: Readonly<Record<string, string>>; readonly signal: AbortSignal },
): Promise<Cost> {
  const script =
    'TIMEFORMAT="%R %U %S"; { time setpriv --pdeathsig KILL "$@" > /dev/null 2> "$ERRORS"; } 2>&1; exit $?';
  const errors = `/tmp/xeno-bench-store-${process.pid}.err`;
  const { stdout, exitCode } = await execa("bash", ["-c", script, "bash", ...command], {
    env: { ...systemEnvironment, ERRORS: errors, ...options.env },
    extendEnv: false,
    cancelSignal: options.signal,
    reject: false,
  });
  options.signal.throwIfAborted();
  const text = await execa("tail", ["-n", "5", errors], { reject: false });
  await execa("rm", ["-f", errors]);
  if (exitCode !== 0)
    throw new XenoError("benchmark-command", `${command.join(" ")} ended with ${exitCode}: ${text.stdout}`);
  const [seconds, user, system] = stdout.trim().split("\n").at(-1)!.split(" ").map(Number);
  return { seconds, processorSeconds: user + system };
}

/** Bytes of all files below a directory. */
export async function measureBytes(directory: string): Promise<number> {
  const { stdout } = await execa("du", ["--bytes", "--summarize", directory]);
  return Number(stdout.split("\t")[0]);
}
