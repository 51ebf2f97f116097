/**
 * Faults: how plain synchronous code asks for bytes that are not here.
 *
 * Union and protocol code never awaits. Where data or a layer is missing, it throws one Fault that names everything the
 * operation still needs; the dispatcher brings it and runs the operation again from the start, permission checks
 * included, as a kernel does for a page. Nothing may be mutated before the last possible fault.
 */

/** One missing thing. Needs with the same key are the same thing and are brought once. */
export interface Need {
  readonly key: string;
  /** Settles when the thing is here; rejects with a XenoError when it cannot be had. */
  bring(signal: AbortSignal): Promise<void>;
}

export class Fault {
  readonly needs: readonly Need[];

  constructor(needs: readonly Need[]) {
    this.needs = needs;
  }
}

/** An operation that faults this often makes no progress: its data is evicted faster than it comes, or never does. */
const maxRounds = 100;

/** Runs an operation to its end, bringing what it faults on. Rejects with what the operation or a need rejects with. */
export async function runWithFaults<T>(operation: () => T, signal: AbortSignal): Promise<T> {
  for (let round = 0; round < maxRounds; round++) {
    try {
      return operation();
    } catch (thrown) {
      if (!(thrown instanceof Fault)) throw thrown;
      signal.throwIfAborted();
      await Promise.all(thrown.needs.map((need) => need.bring(signal)));
    }
  }
  throw new Error(`an operation faulted ${maxRounds} times without progress`);
}
