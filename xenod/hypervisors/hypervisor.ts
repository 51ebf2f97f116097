/**
 * What Xenod needs of a hypervisor. Drivers are plug-ins: `qemu` today, `xl` and a simulator beside it later; one
 * conformance suite runs over all (test/xenod/hypervisors).
 *
 * A domain is a process or a Xen domain that outlives Xenod: `find` takes it up again after a restart, from the name
 * and the state directory alone.
 */
export interface DomainSpecification {
  /** Unique on this XenoServer; `[a-z0-9-]{1,40}`. */
  readonly name: string;
  /** A directory of this domain alone, for sockets, logs and pid files. It exists. */
  readonly directory: string;
  readonly memoryMiB: number;
  readonly cpus: number;
  /** Host paths: an uncompressed or bzImage kernel, and an initramfs. */
  readonly kernel: string;
  readonly initramfs: string;
  readonly commandLine: string;
  /** The network namespace that holds the guest's tap device, and the device's name. */
  readonly link: { readonly namespace: string; readonly tap: string; readonly mac: string };
}

export type DomainState = "running" | "paused" | "stopped" | "crashed";

export interface Domain {
  readonly name: string;
  state(): Promise<DomainState>;
  /** Starts the virtual CPUs of a domain that was created paused, or was paused. */
  unpause(): Promise<void>;
  pause(): Promise<void>;
  /** Asks the guest to power off and ends it hard after `graceMs`. Settles once it is gone. */
  shutdown(graceMs: number, signal: AbortSignal): Promise<void>;
  /** Ends it now. Settles once nothing of it is left. */
  destroy(): Promise<void>;
  /** Settles when the domain is gone, with why. */
  ended(): Promise<"stopped" | "crashed">;
  /** Calls back at each reboot that the guest makes by itself. */
  onReboot(listener: () => void): void;
  /** Lets go of it without touching it: it goes on when this process ends. */
  detach(): void;
}

export interface Hypervisor {
  readonly kind: string;
  /** Creates the domain paused. The console is recorded from the first byte in `<directory>/console.log`. */
  create(specification: DomainSpecification, signal: AbortSignal): Promise<Domain>;
  /** The domain of an earlier life of Xenod, or undefined when none runs. */
  find(name: string, directory: string): Promise<Domain | undefined>;
}
