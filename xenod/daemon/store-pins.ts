/**
 * Tells the store which trees this XenoServer's domains need, so that no sweep takes them while their names move on: one
 * pin, rewritten when the needs change, whether or not the domains run.
 *
 * What boots is looked up by a ref, which keeps it for the grace of a sweep at least; so a pin that is written some
 * seconds later is early enough, and a store that is away holds up no domain. On a store that is read only to us, names
 * alone keep trees: that is logged once.
 */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import type { Logger } from "pino";
import { writePin } from "../../xenostore/collect/pin.ts";
import type { ObjectStore } from "../../xenostore/stores/object-store.ts";
import { readStateFile, writeStateFile } from "../state-file.ts";

const retryMs = 60_000;

interface Holder {
  readonly format: 1;
  /** Names of XenoServers are not unique among all that share a store. */
  readonly holder: string;
}

export interface StorePinsOptions {
  readonly store: ObjectStore;
  /** Remembers who we are to the store. */
  readonly file: string;
  readonly name: string;
  readonly log: Pick<Logger, "warn">;
}

export class StorePins {
  readonly #options: StorePinsOptions;
  /** What the store was last told; undefined before it was told anything in this life. */
  #told: string | undefined;
  #nextAttempt = 0;
  #isWarned = false;

  constructor(options: StorePinsOptions) {
    this.#options = options;
  }

  /** Does nothing while nothing changed. A failure is logged, and tried again by a later call. */
  async update(trees: Iterable<string>, signal: AbortSignal): Promise<void> {
    const wanted = [...new Set(trees)].sort();
    const text = wanted.join(" ");
    if (text === this.#told || performance.now() < this.#nextAttempt) return;
    const { store, log } = this.#options;
    try {
      const holder = await this.#findHolder(wanted.length > 0);
      if (holder !== undefined)
        await writePin(store, holder, { host: hostname(), written: Date.now(), trees: wanted }, { signal });
      this.#told = text;
      this.#isWarned = false;
    } catch (error) {
      this.#nextAttempt = performance.now() + retryMs;
      if (signal.aborted || this.#isWarned) return;
      this.#isWarned = true;
      log.warn({ err: error }, "the store does not know what the domains here need: only its names keep it");
    }
  }

  /** Undefined where we never told the store anything, and need not begin. */
  async #findHolder(create: boolean): Promise<string | undefined> {
    const { file, name } = this.#options;
    const known = await readStateFile<Holder>(file, 1);
    if (known !== undefined || !create) return known?.holder;
    const holder = `${name}-${randomBytes(4).toString("hex")}`;
    await writeStateFile(file, { format: 1, holder } satisfies Holder);
    return holder;
  }
}
