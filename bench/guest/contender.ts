/** A guest with its root from somewhere: our file server, or a peer's. */

/** What one guest took, by name: ms. The boot is from the command until its service begins. */
export type Figures = Readonly<Record<string, number>>;

/** Of an NFS procedure, by its name: what the guest's own kernel counts (mountstats), of the work without the boot. */
export type Requests = Readonly<Record<string, { readonly count: number; readonly ms: number }>>;

/** Of each guest; its name, too, is the same everywhere. */
export const guest = { name: "bench", memoryMiB: 512, cpus: 1 } as const;

export interface Guest {
  /** All of its console so far, or the end of it. */
  readConsole(): Promise<string>;
  /** Nothing of it is left once this has settled. */
  remove(): Promise<void>;
}

export interface Contender {
  /** Names it in results. */
  readonly name: string;
  readonly title: string;
  /** Before the clock runs. */
  prepare?(signal: AbortSignal): Promise<void>;
  /** Settles when the guest's kernel runs. */
  boot(signal: AbortSignal): Promise<Guest>;
}
