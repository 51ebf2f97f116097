/** A way to bring up the guest: ours, or a peer to be compared with in the same run. */
import type { Boot } from "./timeline.ts";

export interface Contender {
  /** Names it in results. */
  readonly name: string;
  readonly title: string;
  /** What may be booted at the same time, by name. */
  readonly guests: readonly string[];
  /** Boots one guest, waits for its page and removes it; nothing of it is left, also when it fails. */
  boot(guest: string, run: number, signal: AbortSignal): Promise<Boot>;
}
