/** Asks the guest's service as its client, from the client's namespace, all the time: what it hears is the guest's outage. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { XenoError } from "../../cowfs/errors.ts";
import { namespacePath } from "../../xenod/links/namespaces.ts";
import { systemEnvironment } from "../../xenod/system-path.ts";
import type { Question } from "./services.ts";

export interface Answer {
  /** Ms since the epoch. */
  readonly at: number;
  readonly askedAt: number;
  /** What the guest took the time for, where the service tells. */
  readonly clock?: number;
}

export interface AskOrder {
  readonly addresses: readonly string[];
  readonly question: Question;
  /** Nothing else counts then. */
  readonly drains?: boolean;
}

const pollMs = 25;

export class Asker {
  readonly #child: ChildProcess;

  constructor(namespace: string) {
    this.#child = fork(new URL("ask-program.ts", import.meta.url).pathname, [], {
      execPath: "nsenter",
      execArgv: [`--net=${namespacePath(namespace)}`, process.execPath, "--no-warnings"],
      stdio: ["ignore", "ignore", "inherit", "ipc"],
      env: { ...process.env, ...systemEnvironment },
    });
  }

  /** Nobody, where there are no addresses. */
  ask(addresses: readonly string[], question: Question): void {
    this.#child.send({ addresses, question });
  }

  /** The answers since the last time, in the order of their coming. */
  async drain(): Promise<Answer[]> {
    const answered = once(this.#child, "message");
    this.#child.send({ drains: true });
    return (await answered)[0];
  }

  /** The first answer to what was asked after `since`, in ms since the epoch. */
  async waitForAnswer(since: number, deadlineMs: number, signal: AbortSignal): Promise<Answer> {
    for (
      const end = performance.now() + deadlineMs;
      performance.now() < end;
      await delay(pollMs, undefined, { signal })
    ) {
      const answer = (await this.drain()).find(({ askedAt }) => askedAt >= since);
      if (answer !== undefined) return answer;
    }
    throw new XenoError("guest-silent", `the guest's service did not answer in ${deadlineMs / 1000} s`);
  }

  close(): void {
    this.#child.kill();
  }
}

/** The longest time without an answer, in ms. */
export function findOutage(answers: readonly Answer[]): number {
  let longest = 0;
  for (let index = 1; index < answers.length; index++)
    longest = Math.max(longest, answers[index].at - answers[index - 1].at);
  return longest;
}
