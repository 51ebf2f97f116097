/**
 * What a soak is: something that runs for as long as it is told to and looks for what must never happen.
 *
 * Everything that is random in it comes from its seed, so that a failure is replayed by the seed that it names.
 */
import { setTimeout as delay } from "node:timers/promises";

export interface SoakRun {
  /** The first seed; a soak that goes in rounds uses this one, the next, and so on. */
  readonly seed: number;
  /** Aborts on Ctrl-C: the round that runs is ended in order. */
  readonly signal: AbortSignal;
  /** Whether there is time for another round: false once the minutes are over or the signal has aborted. */
  goesOn(): boolean;
  /** To whoever looks on; at most a line in ten seconds is shown. `format` is called only for what is shown. */
  progress(format: () => string): void;
}

export interface SoakSummary {
  /** What was done: cuts, kills, messages. */
  readonly counts: Readonly<Record<string, number>>;
  readonly failures: readonly SoakFailure[];
}

export interface SoakFailure {
  /** `--seed` with this one shows it again in the first round. */
  readonly seed: number;
  readonly message: string;
}

export interface Soak {
  readonly about: string;
  readonly minutes: number;
  run(run: SoakRun): Promise<SoakSummary>;
}

/** For a soak of rounds that need nothing but a seed: runs them until the time is over or one has failed. */
export async function runRounds(
  run: SoakRun,
  round: (seed: number, count: (what: string, by?: number) => void) => Promise<void>,
): Promise<SoakSummary> {
  const counts: Record<string, number> = { rounds: 0 };
  const count = (what: string, by = 1) => {
    counts[what] = (counts[what] ?? 0) + by;
  };
  for (let seed = run.seed; run.goesOn(); seed++) {
    try {
      await round(seed, count);
    } catch (error) {
      if (run.signal.aborted) break;
      return { counts, failures: [{ seed, message: (error as Error).stack ?? String(error) }] };
    }
    count("rounds");
    run.progress(() => formatCounts(counts));
    // Signals and timers have their turn also where a round never waits.
    await delay(0);
  }
  return { counts, failures: [] };
}

export function formatCounts(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(([what, number]) => `${number.toLocaleString("en")} ${what}`)
    .join(", ");
}
