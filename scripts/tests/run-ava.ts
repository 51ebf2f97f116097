import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { root } from "../root.ts";
import { ResultTally } from "./result-tally.ts";

export interface AvaOutcome {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly interrupted: boolean;
}

export interface AvaOptions {
  readonly cwd: string;
  /** Given what ava prints, line by line. */
  readonly show: (line: string) => void;
  /** As nice(1) takes it. */
  readonly niceness: number;
  /** An ava that prints nothing for so long is killed: longer than its own time-out (package.json), which names what hangs. */
  readonly quietMs: number;
}

const defaults: AvaOptions = { cwd: root, show: console.log, niceness: 0, quietMs: 8 * 60_000 };

/**
 * Runs ava over files, shows what it prints and counts from that. A run that fails without a failing test counts as one
 * failure. SIGINT and SIGTERM are passed on once, both as SIGINT: ava ends by SIGTERM at once, and its workers would go on.
 *
 * ava ends what hangs, names it and goes on with other files. A thread that hangs in a system call cannot be ended: such
 * an ava never ends by itself.
 */
export async function runAva(
  files: readonly string[],
  flags: readonly string[],
  options: Partial<AvaOptions> = {},
): Promise<AvaOutcome> {
  const { cwd, show, niceness, quietMs } = { ...defaults, ...options };
  // Not as TAP: ava's writer of TAP falls over a test that timed out, before it has named it.
  const words = [`-n${niceness}`, "ava", "--no-color", ...flags, ...files];
  const child = spawn("nice", words, { cwd, stdio: ["ignore", "pipe", "inherit"] });
  let interrupted = false;
  const forward = () => {
    interrupted = true;
    child.kill("SIGINT");
  };
  process.on("SIGINT", forward);
  process.on("SIGTERM", forward);
  const exit = new Promise<boolean>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve(code === 0));
  });
  let isStuck = false;
  const quiet = setTimeout(() => {
    isStuck = true;
    child.kill("SIGKILL");
  }, quietMs);

  const tally = new ResultTally();
  for await (const line of createInterface({ input: child.stdout })) {
    quiet.refresh();
    tally.take(line);
    show(line);
  }
  clearTimeout(quiet);
  const ok = await exit;
  process.off("SIGINT", forward);
  process.off("SIGTERM", forward);

  if (isStuck) show(`✘ ava was killed: it had printed nothing for ${quietMs / 1000} s, and could not end what hangs`);
  const unexplained = !ok && tally.failed === 0 && !interrupted;
  if (unexplained && !isStuck) show("✘ ava ended with an error");
  return {
    passed: tally.passed,
    failed: tally.failed + (unexplained ? 1 : 0),
    skipped: tally.skipped,
    interrupted,
  };
}
