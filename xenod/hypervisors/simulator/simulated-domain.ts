/** A domain of the simulator: see simulated-machine.ts for what there is of it. */
import { type FSWatcher, watch } from "node:fs";
import { basename } from "node:path";
import { type Duplex, Readable, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import { XenoError } from "../../../cowfs/errors.ts";
import type { Domain, DomainSize, DomainState, DomainUsage, OutgoingMigration } from "../hypervisor.ts";
import { writeImage } from "./memory-image.ts";
import { openSimulatedConsole } from "./simulated-guest.ts";
import {
  bootIfDue,
  changeMachine,
  type Machine,
  machineFile,
  readMachine,
  removeMachine,
  reset,
  setState,
} from "./simulated-machine.ts";
import type { SimulatorOptions } from "./simulator.ts";

const mebibyte = 1024 * 1024;
/** How long a guest that is not deaf takes to power off. */
const powerOffMs = 20;

export class SimulatedDomain implements Domain {
  readonly name: string;
  readonly #directory: string;
  readonly #options: SimulatorOptions;
  readonly #ended = Promise.withResolvers<"stopped" | "crashed">();
  readonly #rebootListeners = new Set<() => void>();
  readonly #watcher: FSWatcher;
  #isDetached = false;
  #reboots: number;
  #reason: "stopped" | "crashed" | undefined;

  constructor(machine: Machine, directory: string, options: SimulatorOptions) {
    this.name = machine.name;
    this.#directory = directory;
    this.#options = options;
    this.#reboots = machine.reboots;
    this.#watcher = watch(directory, { persistent: false }, (_event, file) => {
      if (file === basename(machineFile(directory))) void this.#look();
    });
    this.#watcher.on("error", () => {});
    void this.#look();
  }

  async platform(): Promise<string> {
    return (await this.#read()).platform;
  }

  async state(): Promise<DomainState> {
    if (this.#reason !== undefined) return this.#reason;
    return (await readMachine(this.#directory))?.state ?? "crashed";
  }

  async unpause(): Promise<void> {
    await this.#options.onOperation?.("unpause", this.name);
    await this.#change(async (machine) => {
      if (machine.state === "paused") setState(machine, "running");
      await bootIfDue(this.#directory, machine);
    });
  }

  async pause(): Promise<void> {
    await this.#options.onOperation?.("pause", this.name);
    await this.#change((machine) => {
      if (machine.state === "running") setState(machine, "paused");
    });
  }

  async shutdown(graceMs: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const machine = await readMachine(this.#directory);
    if (machine?.state === "running") {
      await delay(machine.isDeaf ? graceMs : Math.min(graceMs, powerOffMs), undefined, { signal }).catch(() => {
        throw signal.reason;
      });
    }
    await this.destroy();
  }

  async reboot(): Promise<void> {
    await this.#change(async (machine) => {
      reset(machine);
      await bootIfDue(this.#directory, machine);
    });
  }

  async destroy(): Promise<void> {
    await this.#options.onOperation?.("destroy", this.name);
    this.#finish("stopped");
    await removeMachine(this.#directory);
  }

  async save(to: Writable, signal: AbortSignal): Promise<void> {
    await this.#options.onOperation?.("save", this.name);
    const machine = await this.#requireState("paused", "domain-not-paused");
    await this.#send(machine, to, signal);
  }

  async migrate(to: Duplex, signal: AbortSignal): Promise<OutgoingMigration> {
    await this.#options.onOperation?.("migrate", this.name);
    await this.#requireState("running", "domain-not-running");
    let isStopped = false;
    const stop = async () => {
      signal.throwIfAborted();
      if (!isStopped) await this.pause();
      isStopped = true;
    };
    const cancel = async () => {
      to.destroy();
      if (isStopped) await this.unpause();
    };
    const orCancel = async (act: () => Promise<void>) => {
      try {
        await act();
      } catch (error) {
        await cancel();
        throw error;
      }
    };
    return {
      stopped: () => orCancel(stop),
      finish: () =>
        orCancel(async () => {
          await stop();
          await this.#send(await this.#read(), to, signal);
        }),
      cancel,
    };
  }

  async resize({ memoryMiB, cpu }: DomainSize): Promise<void> {
    await this.#change((machine) => {
      machine.memoryMiB = memoryMiB ?? machine.memoryMiB;
      machine.cpu = cpu ?? machine.cpu;
    });
  }

  async usage(): Promise<DomainUsage> {
    const { ranMs, runningSince, memoryMiB } = await this.#read();
    return {
      cpuMs: ranMs + (runningSince === undefined ? 0 : Date.now() - runningSince),
      memoryBytes: memoryMiB * mebibyte,
    };
  }

  openConsole(): Duplex {
    return openSimulatedConsole(this.#directory);
  }

  ended(): Promise<"stopped" | "crashed"> {
    return this.#ended.promise;
  }

  onReboot(listener: () => void): void {
    this.#rebootListeners.add(listener);
  }

  detach(): void {
    this.#isDetached = true;
    this.#watcher.close();
  }

  async #send(machine: Machine, to: Writable, signal: AbortSignal): Promise<void> {
    const { imageBytes = 256 * 1024, saveMs = 0 } = this.#options;
    await delay(saveMs, undefined, { signal }).catch(() => {
      throw signal.reason;
    });
    await pipeline(Readable.from(writeImage(machine, imageBytes)), to, { signal });
  }

  async #look(): Promise<void> {
    const machine = await readMachine(this.#directory);
    // How it ended is for the next Xenod to read.
    if (this.#isDetached || this.#reason !== undefined) return;
    if (machine === undefined) return this.#finish("crashed");
    for (; this.#reboots < machine.reboots; this.#reboots++) for (const listener of this.#rebootListeners) listener();
    const { state } = machine;
    if (state !== "stopped" && state !== "crashed") return;
    this.#reason = state;
    await removeMachine(this.#directory);
    this.#finish(state);
  }

  #finish(why: "stopped" | "crashed"): void {
    this.#reason ??= why;
    this.#watcher.close();
    this.#ended.resolve(this.#reason);
  }

  async #change(change: Parameters<typeof changeMachine>[1]): Promise<void> {
    if ((await changeMachine(this.#directory, change)) === undefined) throw this.#gone();
    await this.#look();
  }

  async #read(): Promise<Machine> {
    const machine = await readMachine(this.#directory);
    if (machine === undefined) throw this.#gone();
    return machine;
  }

  async #requireState(wanted: DomainState, code: string): Promise<Machine> {
    const machine = await this.#read();
    if (machine.state === wanted) return machine;
    throw new XenoError(code, `domain ${this.name} is ${machine.state}`, { hint: "pause or unpause it first" });
  }

  #gone(): XenoError {
    return new XenoError("domain-gone", `domain ${this.name} has ended`);
  }
}
