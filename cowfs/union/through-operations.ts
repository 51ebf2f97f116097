/**
 * How a synchronous operation makes a change of a live layer, which takes time: it faults, the change is made, and when it runs
 * again it is given the answer before it looks at anything, for by then the layer looks different.
 *
 * - (U11) An answer belongs to the operation with the same words, and is given once. Of two that run at the same time, the
 *   second finds what the first has done, as if it had come later.
 * - (U12) An operation that faults after it was given its answer, where its server looks at what it did, is given it again.
 */
import { createHash } from "node:crypto";
import type { FileSystemError } from "../errors.ts";
import { Fault } from "../fault.ts";
import type { FileId } from "../file-system.ts";
import { TimedCache } from "../layers/live/timed-cache.ts";

export type Answer = { readonly value: FileId | undefined } | { readonly error: FileSystemError };

/** An answer that nobody came back for. */
const answerMs = 10_000;
const maxAnswers = 10_000;

export interface ThroughOperation {
  readonly key: string;
  /** What it returns when its change makes nothing new. */
  value: FileId | undefined;
}

export class ThroughOperations {
  readonly #answers = new TimedCache<string, Answer>(maxAnswers);
  #given: { readonly key: string; readonly answer: Answer }[] = [];
  #current: ThroughOperation | undefined;

  /** Runs an operation that is known by its words, or gives the answer that it waited for. */
  run<T>(words: readonly unknown[], run: () => T): T {
    const key = digest(words);
    const answer = this.#answers.get(key);
    if (answer !== undefined) {
      this.#answers.delete(key);
      this.#given.push({ key, answer });
      if ("error" in answer) throw answer.error;
      return answer.value as T;
    }
    this.#current = { key, value: undefined };
    try {
      return run();
    } finally {
      this.#current = undefined;
    }
  }

  /** The operation that runs. Where it has only now read of what it would write through, it runs again. */
  get current(): ThroughOperation {
    if (this.#current === undefined) throw new Fault([{ key: "writing through", bring: async () => {} }]);
    return this.#current;
  }

  /** Of the operation that runs, if it could write through: what it returns when its change makes nothing new. */
  expect(value: FileId): void {
    if (this.#current !== undefined) this.#current.value = value;
  }

  answer({ key }: ThroughOperation, answer: Answer): void {
    this.#answers.set(key, answer, performance.now() + answerMs);
  }

  /** The end of a transaction: with what it threw, if it did. */
  settle(thrown: unknown): void {
    if (this.#given.length === 0) return;
    if (thrown instanceof Fault)
      for (const { key, answer } of this.#given) this.#answers.set(key, answer, performance.now() + answerMs);
    this.#given = [];
  }
}

function digest(words: readonly unknown[]): string {
  const hash = createHash("sha256");
  for (const word of words) {
    if (Buffer.isBuffer(word)) hash.update(word);
    else hash.update(JSON.stringify(word, (_, value) => (typeof value === "bigint" ? `${value}n` : value)));
    hash.update("\n");
  }
  return hash.digest("base64");
}
