/**
 * A domain of this Xen host, controlled by xl.
 *
 * Xen keeps a domain by its UUID; its number changes with each reset, since a reset guest is a new domain. Invariants: (X1) `ended`
 * settles when Xen has no such domain, never before; (X2) a guest that ended stays, dead, until some Xenod has read why: none of xl's
 * own daemons watches it; (X3) one that reset itself is built anew from its specification by the Xenod that follows it; (X4) one that
 * somebody else's xl has given away (xl names it so) is not run on here, since it may run there.
 */
import type { Duplex, Writable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { XenoError } from "../../../cowfs/errors.ts";
import { keepConsoleSmall } from "../console-log.ts";
import type { Domain, DomainSize, DomainState, DomainUsage, OutgoingMigration } from "../hypervisor.ts";
import { cap, domainFiles, type Identity, identify, weigh } from "./configuration.ts";
import { openConsole } from "./console.ts";
import { type BuiltDomain, noteBuilt, noteUnbuilt, removeFiles } from "./domain-files.ts";
import type { DomainTable } from "./domain-table.ts";
import { dismissHolder, endHolder } from "./holder.ts";
import type { ImageHead } from "./image-stream.ts";
import type { ListedDomain } from "./list.ts";
import { beginMove, beginSave, type Saving } from "./move-memory.ts";
import { describePlatform } from "./platform.ts";
import { runOn, type XlGuest } from "./run-on.ts";
import type { RunXl } from "./run-xl.ts";

const pressMs = 3_000;
const gonePollMs = 100;
const goneDeadlineMs = 60_000;
const mebibyte = 1024 * 1024;
/** xl's name for a domain of which it has said to its peer that it may run it (migrate_domain in tools/xl/xl_migrate.c). */
const givenAway = "--migratedaway";

/** What the domains of a host share. */
export interface XlTools {
  readonly run: RunXl;
  readonly environment: NodeJS.ProcessEnv;
  readonly table: DomainTable;
  /** Where xenconsoled records what guests print. */
  readonly records: string;
}

export class XlDomain implements Domain {
  readonly name: string;
  readonly #built: BuiltDomain;
  readonly #directory: string;
  readonly #identity: Identity;
  readonly #tools: XlTools;
  readonly #ended = Promise.withResolvers<"stopped" | "crashed">();
  readonly #rebootListeners = new Set<() => void>();
  readonly #detached = new AbortController();
  #unfollow: () => void = () => {};
  /** Why it ends, once that is known; a domain that vanishes without it was ended behind our back. */
  #reason: "stopped" | "crashed" | undefined;
  /** It is being built anew: that there is none for a moment means nothing. */
  #isRebuilding = false;
  #isSettling = false;
  #console: Duplex | undefined;
  /** It has stopped itself for this (`quiesce`). */
  #saving: Saving | undefined;
  /** As xl takes it: its number, since somebody else's xl may have changed its name; that, where it has none yet. */
  #target: string;
  /** Of the domains that it was before its resets. */
  #spentCpuMs = 0;

  constructor(built: BuiltDomain, tools: XlTools) {
    const { specification } = built;
    this.name = specification.name;
    this.#built = built;
    this.#directory = specification.directory;
    this.#identity = identify(specification.name, specification.directory);
    this.#target = this.#identity.name;
    this.#tools = tools;
    this.#ended.promise.catch(() => {});
    keepConsoleSmall(domainFiles(specification.directory).consoleLog, this.#detached.signal);
    this.#unfollow = tools.table.follow(this.#identity.uuid, (listed) => void this.#handle(listed));
  }

  platform(): Promise<string> {
    return describePlatform(this.#tools.run, this.#built.type);
  }

  async state(): Promise<DomainState> {
    // One that ends while it is looked for may be gone by then, and why is known.
    const listed = this.#reason === undefined ? await this.#look() : undefined;
    return this.#reason ?? describeState(listed);
  }

  async unpause(): Promise<void> {
    const saving = this.#saving;
    this.#saving = undefined;
    await saving?.cancel();
    let listed = await this.#look();
    if (listed?.shutdown === "suspend") {
      await this.#runOn(listed);
      listed = await this.#look();
    }
    if (listed?.isPaused) await this.#xl(["unpause"], "unpausing");
  }

  /** Its memory was sent, or was about to be, and it is to go on here all the same. */
  async #runOn(listed: ListedDomain): Promise<void> {
    const guest = this.#describeGuest(listed);
    const refuse = (why: string, hint: string) => {
      throw new XenoError("domain-suspended", `domain ${this.name} is suspended, and ${why}`, { hint });
    };
    // (X4)
    if (listed.name === `${this.#identity.name}${givenAway}`)
      refuse(
        "somebody's xl migrate gave it away",
        `it may run where that sent it: look there; if it does not, here: xl rename ${listed.id} ${this.#identity.name}`,
      );
    await endHolder(this.#directory);
    if (await guest.hasStopped()) await runOn(guest);
    if (await guest.hasStopped())
      refuse(
        "nothing runs it on",
        "see which xl is at work on it (ps); or destroy it, and start it again from its journal",
      );
  }

  /** Xen counts how often a domain was paused. */
  async pause(): Promise<void> {
    const listed = await this.#look();
    if (listed === undefined || listed.isPaused || listed.shutdown !== undefined) return;
    await this.#xl(["pause"], "pausing");
  }

  /** Asks again and again: a guest that still boots hears it once its kernel listens. A paused one is ended at once. */
  async shutdown(graceMs: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const expired = AbortSignal.timeout(graceMs);
    const enough = AbortSignal.any([signal, expired]);
    while (!enough.aborted && (await this.state()) === "running") {
      await this.#xl(["shutdown"], "shutting down").catch(() => {});
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
    void this.#saving?.cancel().catch(() => {});
    await this.#end();
    await removeFiles(this.name, this.#directory, this.#tools.records);
    this.#finish();
  }

  async reboot(): Promise<void> {
    const listed = await this.#look();
    if (listed === undefined) throw new XenoError("domain-gone", `domain ${this.name} has ended`);
    await this.#rebuild(listed);
  }

  async quiesce(signal: AbortSignal): Promise<void> {
    const guest = await this.#requireState("running", "domain-not-running", "unpause it first");
    const saving = beginSave(guest, this.#describeImage());
    this.#saving = saving;
    await saving.stopped(signal).catch((error) => {
      this.#saving = undefined;
      throw error;
    });
  }

  /** One that was paused, and not quiesced, runs until it has stopped itself. */
  async save(to: Writable, signal: AbortSignal): Promise<void> {
    const guest = await this.#requireState("paused", "domain-not-paused", "pause it first");
    const quiesced = this.#saving;
    this.#saving = undefined;
    const saving = quiesced ?? beginSave(guest, this.#describeImage());
    try {
      await saving.write(to, signal, quiesced === undefined ? this.#xl(["unpause"], "saving") : undefined);
    } catch (error) {
      await this.pause();
      throw error;
    }
  }

  async migrate(to: Duplex, signal: AbortSignal): Promise<OutgoingMigration> {
    if (this.#built.type === "pv")
      throw new XenoError(
        "migration-unsupported",
        `domain ${this.name} is a PV guest, which Debian's Xen cannot move`,
        {
          hint: "suspend it, publish its checkpoint, and resume that elsewhere: xeno suspend --help",
        },
      );
    const guest = await this.#requireState("running", "domain-not-running", "unpause it first, or save it");
    return await beginMove(guest, this.#describeImage(), to, signal);
  }

  async resize({ memoryMiB, cpu }: DomainSize): Promise<void> {
    if (cpu !== undefined) {
      const share = ["-w", String(weigh(cpu)), "-c", String(cap(cpu))];
      await this.#xl(["sched-credit2", ...share, "-d"], "changing the CPU share of");
    }
    if (memoryMiB !== undefined) await this.#xl(["mem-set"], "changing the memory of", `${memoryMiB}m`);
  }

  async usage(): Promise<DomainUsage> {
    const listed = await this.#look();
    return {
      cpuMs: this.#spentCpuMs + (listed?.cpuMs ?? 0),
      memoryBytes: (listed?.memoryMiB ?? 0) * mebibyte,
    };
  }

  openConsole(): Duplex {
    this.#console?.destroy();
    const console = openConsole(this.#identity.name);
    this.#console = console;
    return console;
  }

  ended(): Promise<"stopped" | "crashed"> {
    return this.#ended.promise;
  }

  onReboot(listener: () => void): void {
    this.#rebootListeners.add(listener);
  }

  detach(): void {
    this.#detached.abort();
    this.#unfollow();
  }

  async #handle(listed: ListedDomain | undefined): Promise<void> {
    if (this.#isRebuilding || this.#isSettling || this.#detached.signal.aborted) return;
    this.#isSettling = true;
    try {
      await this.#settle(listed);
    } catch {
      // Tried again at the next change, or poll.
    } finally {
      this.#isSettling = false;
    }
  }

  async #settle(listed: ListedDomain | undefined): Promise<void> {
    if (listed === undefined) {
      // The table may be of a moment before the domain was built.
      if ((await this.#look()) !== undefined) return;
      await dismissHolder(this.#directory);
      await removeFiles(this.name, this.#directory, this.#tools.records);
      return this.#finish();
    }
    if (listed.shutdown === "reboot" || listed.shutdown === "soft-reset") return await this.#rebuild(listed);
    const state = describeState(listed);
    if (state !== "stopped" && state !== "crashed") return;
    this.#reason ??= state;
    await this.destroy();
  }

  /** A reset: the guest's memory goes, and one of the same specification begins; paused if it was, and not otherwise. */
  async #rebuild(listed: ListedDomain): Promise<void> {
    this.#isRebuilding = true;
    try {
      await this.#end();
      this.#spentCpuMs += listed.cpuMs;
      const { configuration } = domainFiles(this.#directory);
      await noteUnbuilt(this.#directory);
      const purpose = `resetting domain ${this.name}`;
      await this.#tools.run(["create", "-p", "-e", configuration], { purpose });
      await noteBuilt(this.#built);
      if (!listed.isPaused) await this.#xl(["unpause"], "resetting");
    } catch (error) {
      this.#reason ??= "crashed";
      await this.#end().catch(() => {});
      this.#finish();
      throw error;
    } finally {
      this.#isRebuilding = false;
    }
    for (const listener of this.#rebootListeners) listener();
  }

  /** Settles once Xen has no such domain. */
  async #end(): Promise<void> {
    await dismissHolder(this.#directory);
    const deadline = performance.now() + goneDeadlineMs;
    while ((await this.#look()) !== undefined) {
      await this.#xl(["destroy"], "ending").catch((error) => {
        if (performance.now() > deadline) throw error;
      });
      await delay(gonePollMs);
    }
  }

  #finish(): void {
    this.#detached.abort();
    this.#unfollow();
    this.#reason ??= "crashed";
    this.#ended.resolve(this.#reason);
  }

  #describeImage(): ImageHead {
    const { memoryMiB, cpus } = this.#built.specification;
    return { format: 1, memoryMiB, cpus };
  }

  async #look(): Promise<ListedDomain | undefined> {
    const listed = await this.#tools.table.find(this.#identity.uuid);
    this.#target = listed === undefined ? this.#identity.name : String(listed.id);
    return listed;
  }

  #describeGuest({ id }: ListedDomain): XlGuest {
    return {
      ...{ id, xenName: this.#identity.name, directory: this.#directory },
      environment: this.#tools.environment,
      hasStopped: async () => (await this.#look())?.shutdown === "suspend",
    };
  }

  async #requireState(wanted: DomainState, code: string, hint: string): Promise<XlGuest> {
    const listed = this.#reason === undefined ? await this.#look() : undefined;
    const state = this.#reason ?? describeState(listed);
    if (state !== wanted || listed === undefined)
      throw new XenoError(code, `domain ${this.name} is ${state}`, { hint });
    return this.#describeGuest(listed);
  }

  async #xl(command: string[], doing: string, ...more: string[]): Promise<void> {
    await this.#tools.run([...command, this.#target, ...more], { purpose: `${doing} domain ${this.name}` });
  }
}

function describeState(listed: ListedDomain | undefined): DomainState {
  if (listed === undefined) return "crashed";
  switch (listed.shutdown) {
    case undefined:
      return listed.isPaused ? "paused" : "running";
    case "suspend":
      return "paused";
    case "poweroff":
      return "stopped";
    // It is being reset.
    case "reboot":
    case "soft-reset":
      return "running";
    default:
      return "crashed";
  }
}
