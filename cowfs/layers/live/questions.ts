/**
 * What a live layer asks its files, as Faults: whoever brings one keeps the answer, a failure too, for a while (L1, L2).
 */
import { FileSystemError } from "../../errors.ts";
import { Fault, type Need } from "../../fault.ts";
import { TimedCache } from "./timed-cache.ts";

export const minValidityMs = 1000;
const maxValidityMs = 60_000;
/** How long "it cannot be reached" stands: nobody waits for a dead server twice in that time. */
const failureMs = 5000;
const maxFailures = 200_000;

/** Asks; returns how to keep the answer until a time. */
export type Bring = (signal: AbortSignal) => Promise<Keep>;
export type Keep = (until: number) => void;

export class Questions {
  /** In keys of needs: two layers of one process must not share them. */
  readonly #tag: string;
  readonly #failures = new TimedCache<string, FileSystemError>(maxFailures);

  constructor(tag: string) {
    this.#tag = tag;
  }

  /** Throws what was found out lately, or the Fault that finds it out. */
  ask(key: string, bring: Bring): never {
    throw new Fault([this.need(key, bring)]);
  }

  /** For a Fault of several. Throws what was found out lately. */
  need(key: string, bring: Bring): Need {
    const failure = this.#failures.get(key);
    if (failure !== undefined) throw failure;
    return {
      key: `${this.#tag} ${key}`,
      bring: async (signal) => {
        const started = performance.now();
        try {
          const keep = await bring(signal);
          keep(validUntil(started));
        } catch (error) {
          signal.throwIfAborted();
          this.#failures.set(key, asFileSystemError(error), failedUntil(error));
        }
      },
    };
  }

  /** For what is done and not asked: nothing of it is kept here. */
  needOnce(key: string, bring: (signal: AbortSignal) => Promise<void>): Need {
    return { key: `${this.#tag} ${key}`, bring };
  }
}

function validUntil(started: number): number {
  const now = performance.now();
  return now + Math.min(maxValidityMs, Math.max(minValidityMs, 10 * (now - started)));
}

function failedUntil(error: unknown): number {
  return performance.now() + (error instanceof FileSystemError ? minValidityMs : failureMs);
}

/** What is no answer of the file system's is EIO: the guest's program hears it, its kernel does not hang. */
export function asFileSystemError(error: unknown): FileSystemError {
  return error instanceof FileSystemError ? error : new FileSystemError("EIO", String(error));
}
