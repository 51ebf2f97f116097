/** Repeats boots, each contender in turn, so that what else this machine does falls on all of them alike. */
import { XenoError } from "../../cowfs/errors.ts";
import type { Contender } from "./contender.ts";
import type { Boot } from "./timeline.ts";

export interface Failure {
  readonly run: number;
  readonly guest: string;
  readonly code: string;
  readonly message: string;
}

export interface ContenderResult {
  readonly contender: Contender;
  readonly boots: Boot[];
  readonly failures: Failure[];
}

/** A boot that fails is told and counted, and the others go on; only the signal ends them all. */
export async function repeatBoots(
  contenders: readonly Contender[],
  runs: number,
  tell: (who: string, what: string) => void,
  signal: AbortSignal,
): Promise<ContenderResult[]> {
  const results = contenders.map((contender): ContenderResult => ({ contender, boots: [], failures: [] }));
  for (let run = 1; run <= runs; run++) {
    for (const { contender, boots, failures } of results) {
      const bootOne = async (guest: string) => {
        const who = `${run}/${runs} ${guest}`;
        try {
          const boot = await contender.boot(guest, run, signal);
          boots.push(boot);
          tell(who, `init ran at ${seconds(boot.steps.init)}, page came at ${seconds(boot.steps.page)}`);
        } catch (error) {
          signal.throwIfAborted();
          const { code, message } = describe(error);
          failures.push({ run, guest, code, message });
          tell(who, `failed: ${message} [${code}]`);
        }
      };
      const ended = await Promise.allSettled(contender.guests.map(bootOne));
      signal.throwIfAborted();
      for (const { reason } of ended.filter((one) => one.status === "rejected")) throw reason;
    }
  }
  return results;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function describe(error: unknown): { code: string; message: string } {
  // What went wrong first; the clean-up after it failed too.
  if (error instanceof SuppressedError) return describe(error.suppressed);
  if (error instanceof XenoError) return error;
  return { code: "internal", message: error instanceof Error ? error.message : String(error) };
}
