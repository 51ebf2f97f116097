import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { root } from "../root.ts";
import { TapTally } from "./tap-tally.ts";

export interface AvaOutcome {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly interrupted: boolean;
}

/**
 * Runs ava over files and counts from its TAP. Shows a line a test, and what ava says about those that fail. A run that
 * fails without a failing test (a crash, no tests) counts as one failure. SIGINT and SIGTERM are passed on once.
 */
export async function runAva(files: readonly string[], flags: readonly string[]): Promise<AvaOutcome> {
  const child = spawn("ava", ["--tap", ...flags, ...files], { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
  let interrupted = false;
  const forward = (signal: NodeJS.Signals) => {
    interrupted = true;
    child.kill(signal);
  };
  process.on("SIGINT", forward);
  process.on("SIGTERM", forward);
  const exit = new Promise<boolean>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve(code === 0));
  });

  const tally = new TapTally();
  for await (const line of createInterface({ input: child.stdout })) {
    const shown = tally.take(line);
    if (shown !== undefined) console.log(shown);
  }
  const ok = await exit;
  process.off("SIGINT", forward);
  process.off("SIGTERM", forward);

  const unexplained = !ok && tally.failed === 0 && !interrupted;
  if (unexplained) console.log("not ok ava ended with an error");
  return {
    passed: tally.passed,
    failed: tally.failed + (unexplained ? 1 : 0),
    skipped: tally.skipped,
    interrupted,
  };
}
