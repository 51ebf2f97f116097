/**
 * Pins and forks of a journal that is crashed: what has been promised of each, and whether a crash kept it.
 *
 * A name says after how many changes the pin was taken, so that what it shows is known: `after-12-3`. Names are not used again.
 */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import type { ForkLineage } from "../../../cowfs/journals/fork.ts";
import type { Snapshots } from "../../../cowfs/journals/snapshots.ts";
import { choose, type Random } from "../../random.ts";

/** `perhaps`: it is being made or removed, or was, and no sync has returned since. */
export type Promised = "perhaps" | "there" | "gone";
export type Kept = ReadonlyMap<string, Promised>;

const mostPins = 4;

export function changesAt(name: string): number {
  return Number(/after-(\d+)-/.exec(name)![1]);
}

export function lineageOf(fork: string): ForkLineage {
  return fork.startsWith("same") ? "same" : "new";
}

/** The forks that lie beside a journal. */
export function listForks(disk: string): string[] {
  return fs.readdirSync(disk).filter((name) => /^(same|new)-after-\d+-\d+$/.test(name));
}

export interface PinWorld {
  readonly snapshots: Snapshots;
  /** The directory beside the journal, for forks. */
  readonly disk: string;
  readonly random: Random;
  /** Called with each change of what is promised, before it is begun and when it is done. */
  readonly onPromise: (kept: Kept) => void;
}

/** What one life does to pins. */
export class PinLife {
  readonly #world: PinWorld;
  readonly #kept: Map<string, Promised>;
  readonly #busy = new Set<string>();
  #made: number;

  constructor(world: PinWorld, kept: Kept) {
    this.#world = world;
    this.#kept = new Map(kept);
    this.#made = kept.size;
  }

  /** Begins one of the things that can be done, now and then; undefined where it does nothing. */
  act(changes: number): Promise<void> | undefined {
    const { random } = this.#world;
    const pins = this.#list("there").filter((name) => name.startsWith("after") && !this.#busy.has(name));
    const what = random(40);
    if (what === 0 && pins.length < mostPins) return this.#take(`after-${changes}-${this.#made++}`);
    if (what === 1 && pins.length > 0) return this.#fork(choose(random, pins), choose(random, ["same", "new"]));
    if (what === 2 && pins.length > 0) return this.#drop(choose(random, pins));
    return undefined;
  }

  /** The forks of the lives before: nobody needs them. */
  removeForks(): void {
    for (const name of listForks(this.#world.disk)) {
      this.#set(name, "perhaps");
      fs.rmSync(path.join(this.#world.disk, name), { recursive: true });
    }
  }

  async #take(name: string): Promise<void> {
    this.#set(name, "perhaps");
    await this.#world.snapshots.take(name);
    this.#set(name, "there");
  }

  async #drop(name: string): Promise<void> {
    this.#set(name, "perhaps");
    await this.#world.snapshots.drop(name);
    this.#set(name, "gone");
  }

  async #fork(pin: string, lineage: ForkLineage): Promise<void> {
    const name = `${lineage}-after-${changesAt(pin)}-${this.#made++}`;
    this.#busy.add(pin);
    this.#set(name, "perhaps");
    try {
      await this.#world.snapshots.fork(pin, path.join(this.#world.disk, name), lineage);
    } finally {
      this.#busy.delete(pin);
    }
    this.#set(name, "there");
  }

  #set(name: string, promised: Promised): void {
    this.#kept.set(name, promised);
    this.#world.onPromise(new Map(this.#kept));
  }

  #list(promised: Promised): string[] {
    return [...this.#kept].filter(([, each]) => each === promised).map(([name]) => name);
  }
}

/** Throws where something that was promised is not there, or something is there that was never begun. */
export function requireKept(kept: Kept, found: readonly string[]): void {
  const names = new Set(found);
  for (const [name, promised] of kept)
    if (promised !== "perhaps") assert.equal(names.has(name), promised === "there", `${name} should be ${promised}`);
  for (const name of found) assert.ok(kept.has(name), `${name} is there, and nobody made it`);
}

/** What is promised to those who live on. After a power loss the rest is on stable storage. */
export function keptAfter(kept: Kept, found: readonly string[], isHost: boolean): Kept {
  const names = new Set(found);
  return new Map(
    [...kept].map(([name, promised]) => {
      if (!isHost) return [name, promised];
      return [name, names.has(name) ? "there" : "gone"];
    }),
  );
}
