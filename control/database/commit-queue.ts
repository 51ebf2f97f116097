/**
 * Group commit: what waits is done in one transaction, so that many callers share one sync.
 *
 * - (C1) A unit of work settles only after the transaction that holds it is on stable storage.
 * - (C2) Units run one after the other, each seeing those before it. Reading is a unit too: Kysely's SQLite has one connection,
 *   and beside the queue it would show what is not committed.
 * - (C3) A unit that throws a `XenoError` has changed nothing: it looks at all it needs before its first change. Anything
 *   else that a unit throws undoes the whole transaction; the others are then done again, each in one of its own.
 */
import type { Kysely, Transaction } from "kysely";
import { XenoError } from "../../cowfs/errors.ts";

export type Work<Tables, Result> = (database: Transaction<Tables>) => Promise<Result>;

interface Waiting<Tables> {
  readonly work: Work<Tables, unknown>;
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

/** One transaction does at most so much: the callers behind it wait that long. */
const maxUnits = 512;
const maxWaiting = 100_000;

export class CommitQueue<Tables> {
  readonly #database: Kysely<Tables>;
  readonly #waiting: Waiting<Tables>[] = [];
  #running: Promise<void> | undefined;

  constructor(database: Kysely<Tables>) {
    this.#database = database;
  }

  /** Settles with what `work` returns once it is on stable storage (C1). Throws `database-busy` beyond 100,000 waiting. */
  run<Result>(work: Work<Tables, Result>): Promise<Result> {
    if (this.#waiting.length >= maxWaiting)
      return Promise.reject(new XenoError("database-busy", "too much is waiting", { hint: "try again in a second" }));
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#waiting.push({ work, resolve, reject });
    this.#running ??= this.#drain();
    return promise as Promise<Result>;
  }

  /** Settles once nothing waits. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  async #drain(): Promise<void> {
    // What comes in the same turn shares the first transaction.
    await null;
    while (this.#waiting.length > 0) {
      const units = this.#waiting.splice(0, maxUnits);
      if (await this.#commit(units)) continue;
      for (const unit of units) await this.#commit([unit]);
    }
    // In the turn that found nothing waiting: what comes later starts anew.
    this.#running = undefined;
  }

  /** False when a unit has undone it (C3) and there are others to do again. */
  async #commit(units: readonly Waiting<Tables>[]): Promise<boolean> {
    const settled: (() => void)[] = [];
    try {
      await this.#database.transaction().execute(async (transaction) => {
        for (const { work, resolve, reject } of units) {
          try {
            const result = await work(transaction);
            settled.push(() => resolve(result));
          } catch (error) {
            if (!(error instanceof XenoError)) throw error;
            settled.push(() => reject(error));
          }
        }
      });
    } catch (error) {
      if (units.length > 1) return false;
      units[0]!.reject(error);
      return true;
    }
    for (const settle of settled) settle();
    return true;
  }
}
