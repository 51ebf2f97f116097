/**
 * Runs of random operations on a union whose every system call is recorded, through many crashes.
 *
 * The model runs along: `states[n]` is what it shows after n changes. Every change has a request's key, so that the keys
 * that a journal knows after a crash say how many changes it kept: the first so many, or something is wrong.
 */

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { FileSystemError, XenoError } from "../../../cowfs/errors.ts";
import type { FileSystem } from "../../../cowfs/file-system.ts";
import { type FoldTask, foldLog } from "../../../cowfs/journals/fold.ts";
import { openUnion, type UnionFileSystem } from "../../../cowfs/union/union.ts";
import { choose, createRandom, type Random } from "../../random.ts";
import { makeFastDirectory } from "../fast-directory.ts";
import { describeState } from "../journals/scratch.ts";
import { modelOf } from "../union/fill-model.ts";
import { type Operation, operation, perform } from "../union/operations.ts";
import { type Seen, snapshot } from "../union/snapshot.ts";
import { resolve, stacks, warmUp } from "../union/stacks.ts";
import { afterKill, afterPowerLoss, type DiskImage, readImage, writeImage } from "./disk-image.ts";
import type { DiskCall, DiskHistory } from "./recorder.ts";
import { Recording, setBootId } from "./recorder.ts";
import { refusals, Trouble } from "./trouble.ts";

/** Small, so that a few dozen operations bring rounds of checkpoints and of compaction about. */
const livingLimits = {
  logBytes: 3000,
  closingLogBytes: 1500,
  fullSegmentBytes: 256,
  fold: async (task: FoldTask) => foldLog(task),
};

/** Who only looks folds nothing. */
const lookingLimits = {
  ...livingLimits,
  logBytes: Number.POSITIVE_INFINITY,
  closingLogBytes: Number.POSITIVE_INFINITY,
};

export type Crash = "of the process" | "of the host";

export interface CrashRunOptions {
  readonly seed: number;
  /** How often the journal is opened, changed and crashed. */
  readonly lives: number;
  /** Operations of a life. */
  readonly operations: number;
  /** Whether the disk refuses some calls in each life. */
  readonly trouble?: boolean;
  /** Crashes that are tried out in each life; one of them is how it ends. */
  readonly cuts: number;
  readonly count: (what: string, by?: number) => void;
}

/** What a journal had promised, and begun, when so much had happened to the disk. */
interface Moment {
  readonly steps: number;
  /** These survive the death of the process. */
  readonly flushed: number;
  /** And these that of the host. */
  readonly stable: number;
  readonly begun: number;
  /** The lowest inode number that no client has seen. */
  readonly nextInode: number;
  readonly verifier: string;
  readonly isClosed: boolean;
  /** Of the host. */
  readonly boot: number;
}

interface Lived {
  readonly recording: Recording;
  readonly moments: readonly Moment[];
  /** Where in the recording this life begins. */
  readonly from: number;
}

interface Found {
  readonly changes: number;
  readonly state: unknown;
}

const signal = AbortSignal.timeout(24 * 3_600_000);

/** Throws at the first promise that is broken. */
export async function runCrashes(options: CrashRunOptions): Promise<void> {
  await new CrashRun(options).run();
}

class CrashRun {
  readonly #options: CrashRunOptions;
  readonly #random: Random;
  readonly #base: string | undefined;
  readonly #makeModel: () => FileSystem;
  readonly #home = makeFastDirectory();
  /** What was done and stayed; what the model shows after so many of them. */
  #operations: Operation[] = [];
  #states: Record<string, Seen>[] = [];
  #directories = 0;
  #boots = 0;

  constructor(options: CrashRunOptions) {
    this.#options = options;
    this.#random = createRandom(options.seed);
    const { base, layers } = choose(this.#random, Object.values(stacks));
    this.#base = base;
    this.#makeModel = () => modelOf(layers);
    this.#states.push(snapshot(this.#makeModel()));
  }

  async run(): Promise<void> {
    try {
      let disk = this.#newDirectory();
      fs.mkdirSync(disk);
      let history: DiskHistory = { start: readImage(disk), steps: [] };
      let last: Moment = {
        steps: 0,
        flushed: 0,
        stable: 0,
        begun: 0,
        nextInode: 0,
        verifier: "",
        isClosed: true,
        boot: 0,
      };
      for (let life = 0; life < this.#options.lives; life++) {
        const lived = await this.#live(disk, history, last);
        fs.rmSync(disk, { recursive: true });
        for (let cut = 1; ; cut++) {
          const crash = choose<Crash>(this.#random, ["of the process", "of the host"]);
          const crashed = await this.#crash(lived, crash);
          if (cut < this.#options.cuts) continue;
          ({ history, last } = crashed);
          disk = this.#newDirectory();
          writeImage(crashed.image, disk);
          this.#operations.length = last.begun;
          this.#states.length = last.begun + 1;
          break;
        }
      }
    } finally {
      setBootId(undefined);
      fs.rmSync(this.#home, { recursive: true, force: true });
    }
  }

  /** Opens the journal, changes it and closes it: what it promised when. Crashes come before that, or after. */
  async #live(disk: string, history: DiskHistory, last: Moment): Promise<Lived> {
    const trouble = this.#options.trouble ? new Trouble(this.#random, 70) : undefined;
    let hasFailed = false;
    let refusedAt = Number.POSITIVE_INFINITY;
    const onCall = (call: DiskCall) => {
      const answer = trouble?.answer(call);
      if (typeof answer === "string") {
        refusedAt = Math.min(refusedAt, recording.steps.length);
        moments.push({ ...moments.at(-1)!, steps: recording.steps.length });
      }
      return answer;
    };
    const recording = new Recording(disk, history, { onCall });
    const moments: Moment[] = [{ ...last, steps: history.steps.length }];
    try {
      await this.#act(disk, recording, moments, last, trouble);
    } catch (error) {
      if (!trouble?.refused || error instanceof assert.AssertionError) throw error;
      // The disk has refused what the journal cannot do without; what it promised holds.
      if (!(error instanceof XenoError || error instanceof FileSystemError)) throw error;
      this.#options.count("failed closed");
      hasFailed = true;
    } finally {
      recording.stop();
    }
    const end = moments.at(-1)!;
    moments.push({ ...end, steps: recording.steps.length, verifier: end.isClosed ? end.verifier : "" });
    recording.requireComplete();
    this.#options.count("operations", this.#options.operations);
    if (trouble !== undefined) this.#options.count("refused calls", trouble.refused);
    // After a failed sync no more is promised than what was synced before, under another write verifier.
    const isWeaker = ({ steps }: Moment) => hasFailed && steps >= refusedAt;
    const promised = moments.map((each) => (isWeaker(each) ? { ...each, flushed: each.stable, verifier: "" } : each));
    return { recording, moments: promised, from: history.steps.length };
  }

  async #act(disk: string, recording: Recording, moments: Moment[], last: Moment, trouble?: Trouble): Promise<void> {
    const random = this.#random;
    const union = await this.#open(disk, last.boot);
    const { journal } = union.core;
    let { stable, nextInode } = last;
    let flushed = this.#operations.length;
    const verifier = union.writeVerifier.toString("hex");
    const note = (isClosed = false) => {
      const begun = this.#operations.length;
      moments.push({ ...last, steps: recording.steps.length, flushed, stable, begun, nextInode, verifier, isClosed });
    };
    note();
    const model = this.#makeModel();
    for (const done of this.#operations) perform(model, done);
    const failures: unknown[] = [];
    const sync = async () => {
      const covered = this.#operations.length;
      await union.sync();
      flushed = Math.max(flushed, covered);
      stable = Math.max(stable, covered);
      note();
    };
    const begun: Promise<void>[] = [];
    const start = (running: Promise<void>) => void begun.push(running.catch((error) => void failures.push(error)));
    try {
      // What a life before had written is to be made stable by this one.
      if (random(2) === 0) start(sync());
      for (const step of fc.sample(operation, { numRuns: this.#options.operations, seed: random(2 ** 31) })) {
        // Noted before: what is done may reach the disk at once.
        moments.push({ ...moments.at(-1)!, steps: recording.steps.length, begun: this.#operations.length + 1 });
        const found = perform(union, step, keyOf(this.#operations.length + 1));
        if (trouble?.refused && refusals.includes(found)) this.#options.count("refused operations");
        else this.#follow(model, step, found);
        if (random(3) > 0) {
          union.flush();
          flushed = this.#operations.length;
          nextInode = journal.state.nextInode;
          note();
        }
        if (random(4) === 0) start(sync());
        if (random(40) === 0) start(journal.checkpoint());
        for (let turns = random(5); turns > 0; turns--) await nextTurn();
      }
      await Promise.all(begun);
      // In a round that began by itself, perhaps.
      if (journal.hasFailed) throw failures[0] ?? new FileSystemError("EIO");
      if (trouble === undefined) assert.deepEqual([journal.checkpointFailure, ...failures], [undefined]);
      const shown = snapshot(union);
      if (!isDeepStrictEqual(shown, this.#states.at(-1))) assert.deepEqual(shown, this.#states.at(-1));
    } catch (error) {
      if (journal.hasFailed)
        assert.throws(() => union.transact(undefined, () => Buffer.alloc(0)), { code: "EIO" }, "it goes on");
      await union.close().catch(() => {});
      await Promise.all(begun);
      throw error;
    }
    // Whether it is closed already is hard to say meanwhile.
    moments.push({ ...moments.at(-1)!, steps: recording.steps.length, verifier: "" });
    await union.close();
    flushed = stable = this.#operations.length;
    nextInode = journal.state.nextInode;
    note(true);
  }

  #follow(model: FileSystem, step: Operation, found: string): void {
    const expected = perform(model, step);
    assert.equal(found, expected, `${JSON.stringify(step)}: ${found}, the model says ${expected}`);
    if (found !== "ok") return;
    this.#operations.push(step);
    this.#states.push(snapshot(model));
  }

  async #crash({ recording, moments, from }: Lived, crash: Crash) {
    const random = this.#random;
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
      this.#options.count(isHost ? "power cuts" : "kills");
      // What was lost is not done any more, for those who live on; of a power loss the rest is on stable storage.
      const { changes } = found;
      const stable = isHost ? changes : moment.stable;
      const last: Moment = { ...moment, flushed: changes, stable, begun: changes, verifier: "", isClosed: false, boot };
      return { image, history, last };
    } catch (error) {
      throw new Error(`after a crash ${what}: ${(error as Error).message}`, { cause: error });
    }
  }

  async #check(image: DiskImage, history: DiskHistory, least: number, moment: Moment, isHost: boolean, what: string) {
    const once = this.#newDirectory();
    writeImage(image, once);
    const recording = new Recording(once, history);
    let found: Found;
    let opened: number;
    try {
      const union = await this.#open(once, moment.boot, lookingLimits);
      // What opening adds of its own: a root, slots.
      union.flush();
      opened = recording.steps.length;
      found = this.#examine(union, least, moment, isHost && !moment.isClosed ? "changed" : "same");
      await union.close();
    } finally {
      recording.stop();
    }
    fs.rmSync(once, { recursive: true });
    // Once more: after a crash of the opening itself, anywhere, or right after it.
    const random = this.#random;
    const isAgainHost = random(2) === 0;
    const from = history.steps.length;
    const before = random(2) === 0 ? opened : from + random(opened - from + 1);
    const again = isAgainHost
      ? afterPowerLoss(recording.start, recording.steps, before, random)
      : afterKill(recording.start, recording.steps, before);
    const twice = this.#newDirectory();
    writeImage(again, twice);
    const second = new Recording(twice, { start: again, steps: [] });
    try {
      const union = await this.#open(twice, isAgainHost ? ++this.#boots : moment.boot, lookingLimits);
      const secondLeast = isAgainHost ? Math.min(least, moment.stable) : least;
      const verifier = isHost && !moment.isClosed ? "changed" : isAgainHost ? "any" : "same";
      const foundAgain = this.#examine(union, secondLeast, moment, verifier);
      const isSame = !isAgainHost && before === opened;
      if (isSame && !isDeepStrictEqual(foundAgain.state, found.state))
        assert.deepEqual(foundAgain.state, found.state, `a second recovery differs, ${what}`);
      await union.close();
    } finally {
      second.stop();
      fs.rmSync(twice, { recursive: true });
    }
    return found;
  }

  #examine(union: UnionFileSystem, least: number, moment: Moment, expected: "same" | "changed" | "any"): Found {
    const { journal } = union.core;
    let changes = 0;
    while (union.findReply(keyOf(changes + 1)) !== undefined) changes++;
    const most = moment.begun;
    for (let later = changes + 1; later <= most; later++)
      assert.equal(union.findReply(keyOf(later)), undefined, `change ${later} is there without change ${changes + 1}`);
    assert.ok(changes >= least, `${changes} changes are there, and ${least} were promised`);
    assert.ok(changes <= most, `${changes} changes are there, and ${most} were begun`);
    const seen = snapshot(union);
    if (!isDeepStrictEqual(seen, this.#states[changes]))
      assert.deepEqual(seen, this.#states[changes], `it shows another state than that after ${changes} changes`);
    assert.ok(journal.state.nextInode >= moment.nextInode, "inode numbers that a client has seen are given out again");
    const isSame = union.writeVerifier.toString("hex") === moment.verifier;
    if (moment.verifier !== "" && expected !== "any")
      assert.equal(isSame ? "same" : "changed", expected, "the write verifier is another than it should be");
    return { changes, state: describeState(journal.state) };
  }

  async #open(disk: string, boot: number, limits = livingLimits): Promise<UnionFileSystem> {
    setBootId(`boot-${boot}`);
    const union = await openUnion({ journal: path.join(disk, "journal"), base: this.#base, resolve, signal, limits });
    if (this.#base !== undefined) await warmUp(union);
    return union;
  }

  #newDirectory(): string {
    return path.join(this.#home, String(this.#directories++));
  }
}

function keyOf(change: number): string {
  return change.toString(16).padStart(32, "0");
}
