/**
 * A running guest in QEMU, controlled by QMP.
 *
 * Invariants: (Q1) `ended` settles when QEMU's process is gone, never before; (Q2) a guest that powered off or crashed stays
 * in a stopped QEMU until some Xenod has read which it was, also when no Xenod ran at that moment; (Q3) nothing is ever
 * concluded from the connection alone: it may break while the guest runs, and is then made again.
 */
import { setTimeout as delay } from "node:timers/promises";
import { XenoError } from "../../../cowfs/errors.ts";
import { readStartTime } from "../../processes.ts";
import type { Domain, DomainState } from "../hypervisor.ts";
import { domainFiles } from "./command-line.ts";
import { keepConsoleSmall } from "./console-log.ts";
import { killQemu, type QemuProcess, removeFiles } from "./qemu-process.ts";
import { QmpClient, type QmpEvent } from "./qmp.ts";

/** QEMU's run states (qapi/run-state.json); those not named are of a guest that does not run but may. */
const states: Record<string, DomainState> = {
  running: "running",
  shutdown: "stopped",
  "guest-panicked": "crashed",
  "internal-error": "crashed",
  "io-error": "crashed",
  watchdog: "crashed",
};

const reconnectMs = 100;
const pressMs = 3_000;

export class QemuDomain implements Domain {
  readonly name: string;
  readonly #directory: string;
  readonly #process: QemuProcess;
  readonly #ended = Promise.withResolvers<"stopped" | "crashed">();
  readonly #rebootListeners = new Set<() => void>();
  readonly #detached = new AbortController();
  #control: QmpClient;
  /** Why it ends, once that is known; a QEMU that vanishes without it was killed from outside. */
  #reason: "stopped" | "crashed" | undefined;

  constructor(name: string, directory: string, process: QemuProcess, control: QmpClient) {
    this.name = name;
    this.#directory = directory;
    this.#process = process;
    this.#control = control;
    this.#ended.promise.catch(() => {});
    keepConsoleSmall(domainFiles(directory).consoleLog, this.#detached.signal);
    void this.#watch();
  }

  async state(): Promise<DomainState> {
    if (this.#reason !== undefined) return this.#reason;
    if (!(await this.#isAlive())) return "crashed";
    const { status } = (await this.#control.execute("query-status")) as { status: string };
    return states[status] ?? "paused";
  }

  async unpause(): Promise<void> {
    await this.#control.execute("cont");
  }

  async pause(): Promise<void> {
    await this.#control.execute("stop");
  }

  /**
   * Presses the power button, again and again: a guest that still boots hears it once its init listens. A paused guest cannot
   * react, so it is ended at once.
   */
  async shutdown(graceMs: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const expired = AbortSignal.timeout(graceMs);
    const enough = AbortSignal.any([signal, expired]);
    while (!enough.aborted && (await this.state()) === "running") {
      await this.#control.execute("system_powerdown");
      const next = new AbortController();
      const waiting = delay(pressMs, undefined, { signal: AbortSignal.any([enough, next.signal]) }).catch(() => {});
      await Promise.race([this.#ended.promise, waiting]);
      next.abort();
    }
    signal.throwIfAborted();
    await this.destroy();
  }

  async destroy(): Promise<void> {
    this.#reason ??= "stopped";
    await killQemu(this.#process);
    this.#control.close();
    await removeFiles(this.#directory);
    this.#finish();
  }

  ended(): Promise<"stopped" | "crashed"> {
    return this.#ended.promise;
  }

  onReboot(listener: () => void): void {
    this.#rebootListeners.add(listener);
  }

  detach(): void {
    this.#detached.abort();
    this.#control.close();
  }

  /** Follows the domain to its end, over as many connections as it takes. */
  async #watch(): Promise<void> {
    const { signal } = this.#detached;
    for (;;) {
      this.#control.onEvent((event) => this.#handle(event));
      // What happened before this connection is in the state.
      void this.#settle();
      await this.#control.closed();
      while (!signal.aborted && this.#control.isClosed && (await this.#isAlive())) {
        await delay(reconnectMs, undefined, { signal }).catch(() => {});
        const control = await QmpClient.connect(domainFiles(this.#directory).control).catch(() => undefined);
        if (signal.aborted) control?.close();
        else if (control !== undefined) this.#control = control;
      }
      if (signal.aborted) return;
      if (this.#control.isClosed) break;
    }
    await removeFiles(this.#directory).catch(() => {});
    this.#finish();
  }

  #handle({ event, data }: QmpEvent): void {
    if (event === "RESET" && data?.guest === true) for (const listener of this.#rebootListeners) listener();
    if (event === "STOP" || event === "SHUTDOWN" || event === "GUEST_PANICKED") void this.#settle();
  }

  /** Ends QEMU where its guest has ended. */
  async #settle(): Promise<void> {
    const state = await this.state().catch(() => undefined);
    if (state !== "stopped" && state !== "crashed") return;
    this.#reason ??= state;
    await this.destroy().catch((error) => this.#ended.reject(error));
  }

  #finish(): void {
    this.#detached.abort();
    this.#reason ??= "crashed";
    this.#ended.resolve(this.#reason);
  }

  async #isAlive(): Promise<boolean> {
    return (await readStartTime(this.#process.pid)) === this.#process.startTime;
  }
}

/** The domain of a QEMU that runs; rejects with domain-busy when another program controls it. */
export async function attach(name: string, directory: string, process: QemuProcess): Promise<QemuDomain> {
  const control = await QmpClient.connect(domainFiles(directory).control).catch((cause: XenoError) => {
    throw new XenoError("domain-busy", `domain ${name} runs but cannot be controlled: ${cause.message}`, {
      hint: cause.hint ?? "destroy it, or wait until its host is less busy",
      cause,
    });
  });
  return new QemuDomain(name, directory, process, control);
}
