/**
 * The domains of this Xen host, as often as something happens to one: xenstored tells of each end by `@releaseDomain`
 * (docs/misc/xenstore.txt of Xen), and the table is read anew. Where that is lost, a slow poll finds it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { type ListedDomain, parseList } from "./list.ts";
import type { RunXl } from "./run-xl.ts";

/** `undefined`: no such domain. */
type Listener = (domain: ListedDomain | undefined) => void;

const slowPollMs = 15_000;
const restartPauseMs = 500;

export class DomainTable {
  readonly #listeners = new Map<Listener, string>();
  readonly #run: RunXl;
  readonly #environment: NodeJS.ProcessEnv;
  #watching: AbortController | undefined;
  #running: Promise<ListedDomain[]> | undefined;
  #next: Promise<ListedDomain[]> | undefined;

  constructor(run: RunXl, environment: NodeJS.ProcessEnv) {
    this.#run = run;
    this.#environment = environment;
  }

  /** Every domain that is not being taken down, as it is now or later. */
  read(): Promise<ListedDomain[]> {
    if (this.#running === undefined) return this.#begin();
    // What happened since the running question was asked is in the next answer only: all who ask meanwhile share that.
    this.#next ??= this.#running
      .catch(() => {})
      .then(() => {
        this.#next = undefined;
        return this.#begin();
      });
    return this.#next;
  }

  #begin(): Promise<ListedDomain[]> {
    const running = this.#ask().finally(() => {
      this.#running = undefined;
    });
    this.#running = running;
    return running;
  }

  async #ask(): Promise<ListedDomain[]> {
    const text = await this.#run(["list", "-v"], { purpose: "listing Xen's domains" });
    return parseList(text).filter(({ isDying }) => !isDying);
  }

  async find(uuid: string): Promise<ListedDomain | undefined> {
    return (await this.read()).find((domain) => domain.uuid === uuid);
  }

  /** Calls back soon, and at each change of any domain, until the returned function is called. */
  follow(uuid: string, listener: Listener): () => void {
    this.#listeners.set(listener, uuid);
    if (this.#watching === undefined) {
      this.#watching = new AbortController();
      void this.#watch(this.#watching.signal);
    } else void this.#tell();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      this.#watching?.abort();
      this.#watching = undefined;
    };
  }

  async #watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const watcher = spawn("xenstore-watch", ["@releaseDomain"], {
        env: this.#environment,
        stdio: ["ignore", "pipe", "ignore"],
      });
      // One that was not started has no process: to kill that would be to kill all of ours.
      const end = () => watcher.pid !== undefined && watcher.kill();
      signal.addEventListener("abort", end, { once: true });
      await this.#followWatcher(watcher, signal);
      signal.removeEventListener("abort", end);
      end();
      await delay(restartPauseMs, undefined, { signal }).catch(() => {});
    }
  }

  /** Settles when the watcher has ended. */
  async #followWatcher(watcher: ChildProcess, signal: AbortSignal): Promise<void> {
    const gone = new Promise<void>((resolve) => watcher.once("close", () => resolve()).once("error", () => resolve()));
    let isGone = false;
    void gone.then(() => {
      isGone = true;
    });
    watcher.stdout!.on("data", () => void this.#tell());
    while (!signal.aborted && !isGone) {
      await this.#tell();
      await Promise.race([gone, delay(slowPollMs, undefined, { signal }).catch(() => {})]);
    }
  }

  async #tell(): Promise<void> {
    try {
      const domains = await this.read();
      for (const [listener, uuid] of [...this.#listeners]) listener(domains.find((domain) => domain.uuid === uuid));
    } catch {
      // Nothing is concluded from an answer that did not come.
    }
  }
}
