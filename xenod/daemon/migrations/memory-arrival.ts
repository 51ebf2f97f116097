/**
 * Where a hypervisor that was started for a guest's memory meets the connection that brings it. The guest still runs at its source
 * until the hypervisor takes it: QEMU's start (0.15 s, and seconds on a busy host) is no part of the time that it stands still.
 */
import type { Duplex } from "node:stream";
import { XenoError } from "../../../cowfs/errors.ts";

export class MemoryArrival {
  readonly #wanted = Promise.withResolvers<void>();
  readonly #connection = Promise.withResolvers<Duplex>();
  #stream: Duplex | undefined;
  #isBrought = false;

  /** Closed where the signal says so. */
  constructor(signal: AbortSignal) {
    if (signal.aborted) this.close(signal.reason);
    signal.addEventListener("abort", () => this.close(signal.reason), { once: true });
    // Nobody may ask for it.
    this.#connection.promise.catch(() => {});
  }

  /** Somebody has come with it. */
  get isBrought(): boolean {
    return this.#isBrought;
  }

  /** The hypervisor's side. Rejects with why it was closed. */
  take(): Promise<Duplex> {
    this.#wanted.resolve();
    return this.#connection.promise;
  }

  /** The connection's side: `open` is called once it is wanted, which may be never. Throws `reception-conflict`. */
  async bring(domain: string, open: () => Duplex): Promise<void> {
    if (this.#isBrought) throw new XenoError("reception-conflict", `the memory of ${domain} is being received already`);
    this.#isBrought = true;
    await this.#wanted.promise;
    this.#stream = open();
    this.#connection.resolve(this.#stream);
  }

  close(reason: unknown): void {
    this.#connection.reject(reason);
    this.#stream?.destroy();
  }
}
