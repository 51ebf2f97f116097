/** A guest that runs, and can be stopped, brought back and moved: ours, or a peer's in the same run. */

/** What one run measured, by name: ms, unless the name says otherwise. */
export type Figures = Readonly<Record<string, number>>;

/** The domain's name and processors. */
export const guest = { name: "bench", cpus: 1 } as const;

export interface Mover {
  /** Names it in results. */
  readonly name: string;
  readonly title: string;
  /** Settles when the guest's kernel runs. */
  boot(signal: AbortSignal): Promise<void>;
  /** Where the guest is asked: also where it is on its way to. */
  addresses(): readonly string[];
  /** Settles when nothing of it runs, and all of it is on stable storage. */
  suspend(signal: AbortSignal): Promise<Figures>;
  /** Settles when it runs again. */
  resume(signal: AbortSignal): Promise<Figures>;
  /** Settles when it runs at the other place, and nothing of it is left at this one. */
  migrate(signal: AbortSignal): Promise<Figures>;
  /** Nothing of it is left once this has settled, and the XenoServers are taken down. */
  remove(): Promise<void>;
}
