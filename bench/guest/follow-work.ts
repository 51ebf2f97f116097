/** What work.sh says on its guest's console, until it has done all of it. */
import { setTimeout as delay } from "node:timers/promises";
import { XenoError } from "../../cowfs/errors.ts";
import type { Figures, Guest, Requests } from "./contender.ts";

/** Ours is read through its API, which takes ms of processor time, and the guest has no other core. */
const pollMs = 250;
/** Emulated, beside other jobs: without them it is some three minutes. */
const deadlineMs = 3_600_000;

export interface Said {
  readonly isUp: boolean;
  readonly isDone: boolean;
  /** The work that failed. */
  readonly failed: string | undefined;
  readonly figures: Figures;
  /** Once it is done. */
  readonly requests: Requests;
}

export interface Measured {
  readonly figures: Figures;
  readonly requests: Requests;
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
    requests: subtract(readRequests(lines, "before"), readRequests(lines, "after")),
  };
}

function readRequests(lines: readonly string[], when: string): Requests {
  const said = lines.find((line) => line.startsWith(`${when} `) && line.endsWith(".")) ?? "";
  const counted = [...said.matchAll(/ ([A-Z]+):(\d+)\/(\d+)/g)];
  return Object.fromEntries(counted.map(([, name, count, ms]) => [name, { count: Number(count), ms: Number(ms) }]));
}

function subtract(before: Requests, after: Requests): Requests {
  const none = { count: 0, ms: 0 };
  const differences = Object.entries(after).map(([name, { count, ms }]) => {
    const { count: counted, ms: took } = before[name] ?? none;
    return [name, { count: count - counted, ms: ms - took }] as const;
  });
  return Object.fromEntries(differences.filter(([, { count }]) => count > 0));
}

/** `startedAt`: when the guest was asked for, as Date.now(). Throws `guest-work-failed`. */
export async function followWork(
  { readConsole }: Guest,
  startedAt: number,
  tell: (what: string) => void,
  signal: AbortSignal,
): Promise<Measured> {
  let bootMs: number | undefined;
  let told = 0;
  for (const end = performance.now() + deadlineMs; ; await delay(pollMs, undefined, { signal })) {
    const console = await readConsole();
    const { isUp, isDone, failed, figures, requests } = readWork(console);
    if (isUp) bootMs ??= Date.now() - startedAt;
    if (failed !== undefined || performance.now() > end)
      throw new XenoError("guest-work-failed", `the guest's work failed: ${failed ?? "not done in time"}`, {
        hint: `It printed: ${console.slice(-1000)}`,
      });
    const steps = Object.entries(figures);
    for (const [name, ms] of steps.slice(told)) tell(`${name} took ${(ms / 1000).toFixed(1)} s`);
    told = steps.length;
    if (isDone) return { figures: { boot: bootMs!, ...figures }, requests };
  }
}
