/**
 * Chunks on their way: each is fetched once however many wait for it, and given up when nobody has for a while.
 *
 * Chunks are fetched in groups. A group that nobody waits for any more goes on for `lingerMs`, because a guest that was
 * told to ask again does so in five seconds and finds its data there; then it is aborted, so that a store which is slow
 * or gone holds no more requests of ours than somebody wants.
 */
import { XenoError } from "../errors.ts";

/** NFS clients ask again 5 s after JUKEBOX (Linux: NFS_JUKEBOX_RETRY_TIME). */
const defaultLingerMs = 30_000;

interface Group {
  readonly controller: AbortController;
  waiting: number;
  timer: NodeJS.Timeout | undefined;
}

interface Flight extends PromiseWithResolvers<void> {
  readonly group: Group;
}

export class Flights {
  readonly #lingerMs: number;
  readonly #flights = new Map<number, Flight>();

  constructor(lingerMs: number = defaultLingerMs) {
    this.#lingerMs = lingerMs;
  }

  has(chunk: number): boolean {
    return this.#flights.get(chunk)?.group.controller.signal.aborted === false;
  }

  /** Begins to fetch a group. `fetch` settles with the chunks that could not be had, and why; it never rejects. */
  start(chunks: readonly number[], fetch: (signal: AbortSignal) => Promise<ReadonlyMap<number, unknown>>): void {
    const group: Group = { controller: new AbortController(), waiting: 0, timer: undefined };
    const flights = chunks.map((chunk) => {
      const flight: Flight = { ...Promise.withResolvers<void>(), group };
      flight.promise.catch(() => {});
      this.#flights.set(chunk, flight);
      return flight;
    });
    void fetch(group.controller.signal).then((failed) => {
      clearTimeout(group.timer);
      chunks.forEach((chunk, index) => {
        const flight = flights[index];
        if (this.#flights.get(chunk) === flight) this.#flights.delete(chunk);
        if (failed.has(chunk)) flight.reject(failed.get(chunk));
        else flight.resolve();
      });
    });
  }

  /** Settles with the chunk's flight, at once where there is none; rejects as soon as the signal aborts. */
  async wait(chunk: number, signal: AbortSignal): Promise<void> {
    const flight = this.#flights.get(chunk);
    if (flight === undefined) return;
    const { group } = flight;
    clearTimeout(group.timer);
    group.waiting++;
    try {
      await waitFor(flight.promise, signal);
    } finally {
      if (--group.waiting === 0) this.#linger(group);
    }
  }

  #linger(group: Group): void {
    const giveUp = () => group.controller.abort(new XenoError("fetch-given-up", "nobody waits for this data any more"));
    group.timer = setTimeout(giveUp, this.#lingerMs).unref();
  }
}

/** Settles as the promise does, or rejects as soon as the signal aborts. */
async function waitFor<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort);
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
