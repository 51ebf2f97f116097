import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { styleText } from "node:util";
import { root } from "../root.ts";

/** Each is a command that exits with 0 when all is well; each counts as one test. */
const checks: Record<string, string[]> = {
  lint: ["biome", "check", "--error-on-warnings", "."],
  types: ["tsc", "-p", "."],
  floors: ["node", "scripts/checks/floors.ts"],
};

export interface CheckOutcome {
  readonly name: string;
  readonly ok: boolean;
}

/** Runs the checks side by side and shows the output of those that fail. Never throws for a failing check. */
export async function runChecks(names: readonly string[] = Object.keys(checks)): Promise<CheckOutcome[]> {
  return Promise.all(names.map(runCheck));
}

async function runCheck(name: string): Promise<CheckOutcome> {
  const [program, ...args] = checks[name] ?? ["false"];
  const started = performance.now();
  const child = spawn(program!, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
  const exit = new Promise<boolean>((resolve) => {
    child.on("error", () => resolve(false));
    child.on("close", (code) => resolve(code === 0));
  });
  const [out, err, ok] = await Promise.all([text(child.stdout), text(child.stderr), exit]);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`${ok ? styleText("green", "ok") : styleText("red", "FAILED")} ${name} (${seconds} s)`);
  if (!ok) console.log(`${out}${err}`);
  return { name, ok };
}
