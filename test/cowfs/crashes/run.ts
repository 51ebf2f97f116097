/**
 * Runs of random operations on a union whose every system call is recorded, through many crashes.
 *
 * The model runs along: `states[n]` is what it shows after n changes. Every change has a request's key, so that the keys
 * that a journal knows after a crash say how many changes it kept: the first so many, or something is wrong.
 */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { UnionFileSystem } from "../../../cowfs/union/union.ts";
import { choose } from "../../random.ts";
import { afterKill, afterPowerLoss, type DiskImage, readImage, writeImage } from "./disk-image.ts";
import { examine, examineFork, type Found } from "./examine.ts";
import { keptAfter, listForks, requireKept } from "./kept-pins.ts";
import { type Lived, live } from "./live.ts";
import { type DiskHistory, Recording } from "./recorder.ts";
import { type CrashRunOptions, CrashWorld, firstMoment, lookingLimits, type Moment } from "./world.ts";

export type Crash = "of the process" | "of the host";

/** Throws at the first promise that is broken. */
export async function runCrashes(options: CrashRunOptions): Promise<void> {
  using world = new CrashWorld(options);
  await new CrashRun(world).run();
}

class CrashRun {
  readonly #world: CrashWorld;
  #boots = 0;

  constructor(world: CrashWorld) {
    this.#world = world;
  }

  async run(): Promise<void> {
    const { options, random } = this.#world;
    let disk = this.#world.newDirectory();
    fs.mkdirSync(disk);
    let history: DiskHistory = { start: readImage(disk), steps: [] };
    let last = firstMoment;
    for (let count = 0; count < options.lives; count++) {
      const lived = await live(this.#world, disk, history, last);
      fs.rmSync(disk, { recursive: true });
      for (let cut = 1; ; cut++) {
        const crash = choose<Crash>(random, ["of the process", "of the host"]);
        const crashed = await this.#crash(lived, crash);
        if (cut < options.cuts) continue;
        ({ history, last } = crashed);
        disk = this.#world.newDirectory();
        writeImage(crashed.image, disk);
        this.#world.forgetAfter(last.begun);
        break;
      }
    }
  }

  async #crash({ recording, moments, from }: Lived, crash: Crash) {
    const random = this.#world.random;
    const isHost = crash === "of the host";
    const opened = moments[1].steps;
    const isEarly = random(20) === 0;
    const before = isEarly ? from + random(opened - from + 1) : opened + random(recording.steps.length - opened + 1);
    const reached = moments.filter(({ steps }) => steps <= before);
    const moment = reached.at(-1)!;
    const image = isHost
      ? afterPowerLoss(recording.start, recording.steps, before, random)
      : afterKill(recording.start, recording.steps, before);
    const history: DiskHistory = isHost
      ? { start: image, steps: [] }
      : { start: recording.start, steps: recording.steps.slice(0, before) };
    const boot = isHost ? ++this.#boots : moment.boot;
    const least = isHost ? moment.stable : moment.flushed;
    const what = `${crash} after step ${before} of ${recording.steps.length}: ${JSON.stringify(moment)}`;
    try {
      const found = await this.#check(image, history, least, { ...moment, boot }, isHost, what);
      this.#world.options.count(isHost ? "power cuts" : "kills");
      // What was lost is not done any more, for those who live on; of a power loss the rest is on stable storage.
      const { changes } = found;
      const stable = isHost ? changes : moment.stable;
      const kept = keptAfter(moment.kept, [...found.pins, ...found.forks], isHost);
      const counts = { flushed: changes, stable, begun: changes };
      const last: Moment = { ...moment, ...counts, verifier: "", isClosed: false, boot, kept };
      return { image, history, last };
    } catch (error) {
      throw new Error(`after a crash ${what}: ${(error as Error).message}`, { cause: error });
    }
  }

  async #check(image: DiskImage, history: DiskHistory, least: number, moment: Moment, isHost: boolean, what: string) {
    const once = this.#world.newDirectory();
    writeImage(image, once);
    const recording = new Recording(once, history);
    const forks = listForks(once);
    let found: Found;
    let opened: number;
    try {
      const union = await this.#world.open(once, moment.boot, lookingLimits);
      // What opening adds of its own: a root, slots.
      union.flush();
      opened = recording.steps.length;
      found = examine(this.#world, union, least, moment, isHost && !moment.isClosed ? "changed" : "same");
      requireKept(moment.kept, [...found.pins, ...forks]);
      for (const fork of forks) await examineFork(this.#world, path.join(once, fork), fork, moment.boot);
      await this.#forkOne(union, once, found.pins, moment.boot);
      await union.close();
    } finally {
      recording.stop();
    }
    fs.rmSync(once, { recursive: true });
    // Once more: after a crash of the opening itself, anywhere, or right after it.
    const random = this.#world.random;
    const isAgainHost = random(2) === 0;
    const from = history.steps.length;
    const before = random(2) === 0 ? opened : from + random(opened - from + 1);
    const again = isAgainHost
      ? afterPowerLoss(recording.start, recording.steps, before, random)
      : afterKill(recording.start, recording.steps, before);
    const twice = this.#world.newDirectory();
    writeImage(again, twice);
    const second = new Recording(twice, { start: again, steps: [] });
    try {
      const union = await this.#world.open(twice, isAgainHost ? ++this.#boots : moment.boot, lookingLimits);
      const secondLeast = isAgainHost ? Math.min(least, moment.stable) : least;
      const verifier = isHost && !moment.isClosed ? "changed" : isAgainHost ? "any" : "same";
      const foundAgain = examine(this.#world, union, secondLeast, moment, verifier);
      const isSame = !isAgainHost && before === opened;
      if (isSame && !isDeepStrictEqual(foundAgain.state, found.state))
        assert.deepEqual(foundAgain.state, found.state, `a second recovery differs, ${what}`);
      await union.close();
    } finally {
      second.stop();
      fs.rmSync(twice, { recursive: true });
    }
    return { ...found, forks };
  }

  /** From a pin that the crash left. */
  async #forkOne(union: UnionFileSystem, disk: string, pins: readonly string[], boot: number): Promise<void> {
    if (pins.length === 0 || this.#world.random(3) > 0) return;
    const pin = choose(this.#world.random, pins);
    const lineage = choose(this.#world.random, ["same", "new"] as const);
    const fork = `${lineage}-${pin}`;
    await union.core.journal.snapshots.fork(pin, path.join(disk, fork), lineage);
    await examineFork(this.#world, path.join(disk, fork), fork, boot);
  }
}
