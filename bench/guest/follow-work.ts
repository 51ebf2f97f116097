/** What work.sh says on its guest's console, until it has done all of it. */
import { setTimeout as delay } from "node:timers/promises";
import { XenoError } from "../../cowfs/errors.ts";
import type { Figures, Guest } from "./contender.ts";

const pollMs = 50;
/** Emulated, beside other jobs: without them it is some three minutes. */
const deadlineMs = 3_600_000;

export interface Said {
  readonly isUp: boolean;
  readonly isDone: boolean;
  /** The work that failed. */
  readonly failed: string | undefined;
  readonly figures: Figures;
}

export function readWork(console: string): Said {
  // Behind a prompt for a login, maybe.
  const lines = [...console.matchAll(/^(?:\S+ login: )?bench: (.*)$/gm)].map(([, line]) => line.trim());
  const timed = lines.flatMap((line) => {
    const [, name, ms] = /^(.+) (\d+)$/.exec(line) ?? [];
    return name === undefined ? [] : [[name, Number(ms)] as const];
  });
  return {
    isUp: lines.includes("up"),
    isDone: lines.includes("done"),
    failed: lines.find((line) => line.startsWith("FAILED "))?.slice("FAILED ".length),
    figures: Object.fromEntries(timed),
  };
}

/** `startedAt`: when the guest was asked for, as Date.now(). Throws `guest-work-failed`. */
export async function followWork(
  { readConsole }: Guest,
  startedAt: number,
  tell: (what: string) => void,
  signal: AbortSignal,
): Promise<Figures> {
  let bootMs: number | undefined;
  let told = 0;
  for (const end = performance.now() + deadlineMs; ; await delay(pollMs, undefined, { signal })) {
    const console = await readConsole();
    const { isUp, isDone, failed, figures } = readWork(console);
    if (isUp) bootMs ??= Date.now() - startedAt;
    if (failed !== undefined || performance.now() > end)
      throw new XenoError("guest-work-failed", `the guest's work failed: ${failed ?? "not done in time"}`, {
        hint: `It printed: ${console.slice(-1000)}`,
      });
    const steps = Object.entries(figures);
    for (const [name, ms] of steps.slice(told)) tell(`${name} took ${(ms / 1000).toFixed(1)} s`);
    told = steps.length;
    if (isDone) return { boot: bootMs!, ...figures };
  }
}
