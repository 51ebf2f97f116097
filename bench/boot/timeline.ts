/** One boot as steps in time, and many of them as a distribution of each step. */
import { type Distribution, describeSamples } from "../statistics.ts";

/** One guest from the user's command until its page came, and until it was removed. */
export interface Boot {
  readonly run: number;
  readonly guest: string;
  /** Each step that was passed, in the order of time: ms since the user's command. */
  readonly steps: Readonly<Record<string, number>>;
  readonly removeMs: number;
  /** Processor time until the page: of the guest's hypervisor, and of what serves it (Xenod and the file server). */
  readonly guestCpuMs: number;
  readonly serverCpuMs: number;
}

export interface StepSummary {
  readonly sincePrevious: Distribution;
  readonly sinceAcceptance: Distribution;
}

export interface BootSummary {
  readonly boots: number;
  readonly steps: Readonly<Record<string, StepSummary>>;
  /** From acceptance to the guest's init. */
  readonly bootMs: Distribution;
  /** From the command to the page. */
  readonly answerMs: Distribution;
  readonly removeMs: Distribution;
  readonly guestCpuMs: Distribution;
  readonly serverCpuMs: Distribution;
}

/** Undefined of no boots. All have the same steps, `accepted`, `init` and `page` among them. */
export function summarizeBoots(boots: readonly Boot[]): BootSummary | undefined {
  if (boots.length === 0) return undefined;
  const describe = (measure: (boot: Boot) => number) => describeSamples(boots.map(measure))!;
  const names = Object.keys(boots[0].steps);
  const steps = names.map((name, index): [string, StepSummary] => {
    const previous = names[index - 1];
    return [
      name,
      {
        sincePrevious: describe(({ steps }) => steps[name] - (steps[previous] ?? 0)),
        sinceAcceptance: describe(({ steps }) => steps[name] - steps.accepted),
      },
    ];
  });
  return {
    boots: boots.length,
    steps: Object.fromEntries(steps),
    bootMs: describe(({ steps }) => steps.init - steps.accepted),
    answerMs: describe(({ steps }) => steps.page),
    removeMs: describe(({ removeMs }) => removeMs),
    guestCpuMs: describe(({ guestCpuMs }) => guestCpuMs),
    serverCpuMs: describe(({ serverCpuMs }) => serverCpuMs),
  };
}
