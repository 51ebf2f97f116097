/**
 * A running guest in QEMU, controlled by QMP.
 *
 * Invariants: (Q1) `ended` settles when QEMU's process is gone, never before; (Q2) a guest that powered off or crashed stays
 * in a stopped QEMU until some Xenod has read which it was, also when no Xenod ran at that moment; (Q3) nothing is ever
 * concluded from the connection alone: it may break while the guest runs, and is then made again.
 */
import { readFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import type { Duplex, Writable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { XenoError } from "../../../cowfs/errors.ts";
import { readCpuMs, readStartTime } from "../../processes.ts";
import { keepConsoleSmall } from "../console-log.ts";
import type { Domain, DomainSize, DomainState, DomainUsage, OutgoingMigration } from "../hypervisor.ts";
import { describePlatform, domainFiles } from "./command-line.ts";
import { beginTransfer, callOffTransfer, type Execute } from "./memory-transfer.ts";
import { killQemu, limitCpu, type QemuProcess, removeFiles } from "./qemu-process.ts";
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

/** Why a guest was reset (SHUTDOWN event's ShutdownCause): what else resets a machine is its making. */
const resetReasons = new Set(["guest-reset", "host-qmp-system-reset"]);

const mebibyte = 1024 * 1024;
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

  async platform(): Promise<string> {
    const { enabled } = (await this.#control.execute("query-kvm")) as { enabled: boolean };
    return describePlatform(enabled ? "kvm" : "tcg");
  }

  async state(): Promise<DomainState> {
    if (this.#reason === undefined && (await this.#isAlive()))
      try {
        const { status } = (await this.#control.execute("query-status")) as { status: string };
        return states[status] ?? "paused";
      } catch (error) {
        // A QEMU that was ended while it was asked leaves its reason, not an answer.
        if (this.#reason === undefined && (await this.#isAlive())) throw error;
      }
    return this.#reason ?? "crashed";
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

  async reboot(): Promise<void> {
    await this.#control.execute("system_reset");
  }

  async save(to: Writable, signal: AbortSignal): Promise<void> {
    await this.#requireState("paused", "domain-not-paused", "pause it first");
    const transfer = await beginTransfer(this.name, this.#directory, this.#execute, to, { isLive: false, signal });
    await transfer.finish();
  }

  async migrate(to: Duplex, signal: AbortSignal): Promise<OutgoingMigration> {
    await this.#requireState("running", "domain-not-running", "unpause it first, or save it");
    const { enabled: hasKvm } = (await this.#control.execute("query-kvm")) as { enabled: boolean };
    if (!hasKvm) return await this.#migrateStopped(to, signal);
    return await beginTransfer(this.name, this.#directory, this.#execute, to, { isLive: true, signal });
  }

  /**
   * Under TCG the guest stands still for all of it: QEMU before 9.0 loses stores of a guest that it translates while it sends the
   * guest's memory. It clears the bitmap of dirty pages and leaves the translated guest's TLB as it is, so that later stores to
   * those pages set no bit ("physmem: Fix migration dirty bitmap coherency with TCG memory access", 2024). Shown by
   * `npm run soak -- stores` with 7.2.22: every live move lost stores, in up to all of 64 pages; no stopped one did.
   */
  async #migrateStopped(to: Duplex, signal: AbortSignal): Promise<OutgoingMigration> {
    let isStopped = false;
    const stop = async () => {
      isStopped = true;
      await this.pause();
    };
    /** (H4) */
    const orGoOn = async <T>(act: () => Promise<T>): Promise<T> => {
      try {
        return await act();
      } catch (error) {
        if (isStopped) await this.unpause();
        throw error;
      }
    };
    const transfer = await orGoOn(() =>
      beginTransfer(this.name, this.#directory, this.#execute, to, { isLive: false, signal, stop }),
    );
    return {
      stopped: async () => {},
      finish: () => orGoOn(() => transfer.finish()),
      cancel: async () => {
        await transfer.cancel();
        await this.unpause();
      },
    };
  }

  /** A guest without the balloon's driver keeps what it has. */
  async resize({ memoryMiB, cpu }: DomainSize): Promise<void> {
    if (cpu !== undefined) await limitCpu(this.#directory, this.#process.pid, cpu);
    if (memoryMiB !== undefined) await this.#control.execute("balloon", { value: memoryMiB * mebibyte });
  }

  async usage(): Promise<DomainUsage> {
    const { pid } = this.#process;
    const status = await readFile(`/proc/${pid}/status`, "latin1").catch(() => "");
    const memoryBytes = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
    return { cpuMs: (await readCpuMs(pid)) ?? 0, memoryBytes };
  }

  openConsole(): Socket {
    return connect(domainFiles(this.#directory).console);
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
    if (event === "RESET" && resetReasons.has(String(data?.reason)))
      for (const listener of this.#rebootListeners) listener();
    if (event === "STOP" || event === "SHUTDOWN" || event === "GUEST_PANICKED") void this.#settle();
  }

  /** Over the connection of the moment (Q3). */
  readonly #execute: Execute = (command, options) => this.#control.execute(command, options);

  async #requireState(wanted: DomainState, code: string, hint: string): Promise<void> {
    const state = await this.state();
    if (state !== wanted) throw new XenoError(code, `domain ${this.name} is ${state}`, { hint });
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
  await callOffTransfer((command, options) => control.execute(command, options)).catch((error) => {
    control.close();
    throw error;
  });
  return new QemuDomain(name, directory, process, control);
}
