/**
 * What Xenod needs of a hypervisor. Drivers are plug-ins: `qemu`, `xl` and `simulator`; one conformance suite runs
 * over all of them (test/xenod/hypervisors/conformance.ts).
 *
 * Invariants, which every driver keeps:
 *
 * - (H1) A domain outlives Xenod: `find` takes it up again after a restart, from its name and directory alone.
 * - (H2) How a domain ended is told once to whoever asks first, also when no Xenod ran at that moment.
 * - (H3) No instruction of a guest runs between `create`, `restore` or `receive` and the first `unpause`.
 * - (H4) What saves or moves memory leaves the domain where it was when it fails or is called off: there, and paused or
 *   running as before.
 * - (H5) A memory image decides what the guest's memory and devices hold, and nothing else: how the domain is configured, and
 *   what of the host it may use, is the specification's alone.
 */
import type { Duplex, Readable, Writable } from "node:stream";
import type { CpuShare } from "../resources/cpu-group.ts";

export interface DomainSpecification {
  /** Unique on this XenoServer; `[a-z0-9-]{1,40}`. */
  readonly name: string;
  /** A directory of this domain alone, for sockets, logs and pid files. It exists. */
  readonly directory: string;
  readonly memoryMiB: number;
  readonly cpus: number;
  /** Default: as much as it can get. */
  readonly cpu?: CpuShare;
  /** Host paths: an uncompressed or bzImage kernel, and an initramfs. */
  readonly kernel: string;
  readonly initramfs: string;
  readonly commandLine: string;
  /** The network namespace that holds the guest's end of its link, and the device's name: see `HypervisorFeatures.link`. */
  readonly link: { readonly namespace: string; readonly tap: string; readonly mac: string };
}

export type DomainState = "running" | "paused" | "stopped" | "crashed";

export interface DomainUsage {
  /** Processor time since the domain was created here, in ms. */
  readonly cpuMs: number;
  /** What of the host's memory it takes now. */
  readonly memoryBytes: number;
}

/** What may change while the domain is there. */
export interface DomainSize {
  /** At most what it was created with. */
  readonly memoryMiB?: number;
  readonly cpu?: CpuShare;
}

/** A move that has begun: the guest runs here while its memory is sent. */
export interface OutgoingMigration {
  /** Settles once so little is left to send that the guest was stopped for it. Rejects as `finish` does. */
  stopped(): Promise<void>;
  /** Sends the rest. Settles when all was sent; the domain stays, paused, and belongs to who holds the peer's answer. */
  finish(): Promise<void>;
  /** Gives up: the domain runs again here (H4). Too late once `finish` has settled. */
  cancel(): Promise<void>;
}

export interface Domain {
  readonly name: string;
  /** What its memory images need of a host, as `qemu tcg pc-q35-7.2 Nehalem-v1`: see `Hypervisor.restore`. */
  platform(): Promise<string>;
  state(): Promise<DomainState>;
  /** Starts the virtual CPUs of a domain that was created paused, or was paused. */
  unpause(): Promise<void>;
  pause(): Promise<void>;
  /**
   * Pauses it so that `save` can follow, where the guest has a part in that: its root must still be served then, since a task that
   * waits for a file cannot be stopped. Where it is not there, `pause` does. `unpause` takes it back.
   */
  quiesce?(signal: AbortSignal): Promise<void>;
  /** Asks the guest to power off and ends it hard after `graceMs`. Settles once it is gone. */
  shutdown(graceMs: number, signal: AbortSignal): Promise<void>;
  /** Resets it at once, as its reset button would. A paused one stays paused, at its first instruction. */
  reboot(): Promise<void>;
  /** Ends it now. Settles once nothing of it is left. */
  destroy(): Promise<void>;
  /**
   * Writes the memory and device state of a paused domain, and ends the stream. The domain stays, paused. Rejects with
   * `domain-not-paused`, the stream's error, `save-failed`, or the signal's reason; each time with (H4).
   */
  save(to: Writable, signal: AbortSignal): Promise<void>;
  /** Begins to send the memory of a running domain to who `receive`s. `to` is ended with the last byte. */
  migrate(to: Duplex, signal: AbortSignal): Promise<OutgoingMigration>;
  /** Rejects with `size-unsupported` for what the table of `features` denies. */
  resize(size: DomainSize): Promise<void>;
  usage(): Promise<DomainUsage>;
  /** Both ways; one at a time. What was printed before is in `<directory>/console.log`. */
  openConsole(): Duplex;
  /** Settles when the domain is gone, with why. */
  ended(): Promise<"stopped" | "crashed">;
  /** Calls back at each reboot, whoever made it. */
  onReboot(listener: () => void): void;
  /** Lets go of it without touching it: it goes on when this process ends. */
  detach(): void;
}

/** What a driver can do of what not every platform can. */
export interface HypervisorFeatures {
  /** `balloon`: the guest gives pages back, if it has the driver. */
  readonly memoryResize: "balloon" | "none";
  /** `share`: the processor time changes, the number of CPUs does not. */
  readonly cpuResize: "share" | "none";
  /** Where not, `migrate` rejects with `migration-unsupported`. */
  readonly liveMigration: boolean;
  /** What it joins a guest to, in its link's namespace: a tap device that it opens, or a bridge that it adds a port to. */
  readonly link: "tap" | "bridge";
}

export interface Hypervisor {
  readonly kind: string;
  readonly features: HypervisorFeatures;
  /** Creates the domain paused. The console is recorded from the first byte in `<directory>/console.log`. */
  create(specification: DomainSpecification, signal: AbortSignal): Promise<Domain>;
  /**
   * Creates the domain paused, from what `save` wrote on a host of the same `platform`. Rejects with `platform-unsuited` where
   * this host is of another, `image-damaged` for what is no such image, or the stream's error; then nothing is left.
   */
  restore(specification: DomainSpecification, image: Readable, platform: string, signal: AbortSignal): Promise<Domain>;
  /**
   * The other end of `migrate`. `open` is called once, when memory can be taken, and brings it: the guest runs elsewhere until
   * then. Settles when all was received; the domain is paused. Rejects as `restore` does, or with what `open` does.
   */
  receive(
    specification: DomainSpecification,
    open: () => Promise<Duplex>,
    platform: string,
    signal: AbortSignal,
  ): Promise<Domain>;
  /** The domain of an earlier life of Xenod, or undefined when none runs. */
  find(name: string, directory: string): Promise<Domain | undefined>;
  /** Of the host's memory, what there is and what a new guest could have; where it is not the operating system that knows. */
  memory?(): Promise<HostMemory>;
}

export interface HostMemory {
  readonly totalMiB: number;
  readonly freeMiB: number;
}
