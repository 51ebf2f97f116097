/**
 * Checkpoints: the log starts anew, and what nothing points at any more goes (DESIGN 3, J4).
 *
 * A round: mostly dead segments are compacted; the log goes on in a new file; everything before it is synced; a thread
 * folds the checkpoint before and the closed files into a new one; it gets its name; the old files go.
 *
 * - (G1) A file goes only when a checkpoint that does without it is on stable storage under its name: log files before
 *   it, older checkpoints, and segments that nothing pointed at, and no pin kept, when the log switched. So do the files
 *   of pins (N1, N3).
 * - (G2) Nothing points at such a segment later: data is appended to the current segment only, and laid within the turn
 *   that appended it. So neither the checkpoint nor the log after it needs a byte of the segment.
 * - (G3) A round that fails or is cut off at any step leaves what opening needs: the checkpoint before, and every log
 *   file since, in order.
 * - (G4) The segments that no pin keeps hold at most 4 times what is live in them, two segments, and what is written while
 *   one round runs: where more is dead, some full segment has less than a quarter live. A round begins then.
 */
import fs from "node:fs";
import { Worker } from "node:worker_threads";
import { XenoError } from "../errors.ts";
import { checkpointPath, listCheckpoints, newCheckpointPath } from "./checkpoint-file.ts";
import { Compaction } from "./compaction.ts";
import { syncDirectory, syncDirectoryLater } from "./disk.ts";
import type { FoldTask } from "./fold.ts";
import type { Journal } from "./journal.ts";
import type { Log } from "./log.ts";
import { listLogFiles } from "./log-file.ts";
import { listPinFiles } from "./pins.ts";
import { segmentBytes } from "./segment-use.ts";
import type { Segments } from "./segments.ts";

export type CheckpointStep =
  | "compacted"
  | "prepared"
  | "switched"
  | "synced"
  | "folded"
  | "named"
  | "durable"
  | "logs removed"
  | "segments removed";

export interface CheckpointLimits {
  /** A log of so many bytes is folded, or of twice the checkpoint's size where that is more. */
  readonly logBytes: number;
  /** On closing, a log of so many: opening it anew would take longer than folding it now. */
  readonly closingLogBytes: number;
  /** A full segment has about so many bytes, at most `segmentBytes`. */
  readonly fullSegmentBytes: number;
  /** Called after each step of a round. Tests look at the disk then, or kill the process. */
  readonly onStep: (step: CheckpointStep) => void;
  /** Writes the new checkpoint; returns its size. Tests that look at every write have it done in their own thread. */
  readonly fold: (task: FoldTask) => Promise<number>;
}

/** What opening loaded: its last record, and its size. */
export interface CheckpointStart {
  readonly sequence: number;
  readonly bytes: number;
}

export const defaultLimits: CheckpointLimits = {
  logBytes: 16 * 1024 * 1024,
  closingLogBytes: 1024 * 1024,
  fullSegmentBytes: segmentBytes,
  onStep: () => {},
  fold: foldInThread,
};

/** Compacted where less of it than one in so many bytes is live. */
const deadFactor = 4;

export class Checkpoints {
  readonly #journal: Journal;
  readonly #log: Log;
  readonly #segments: Segments;
  readonly #limits: CheckpointLimits;
  /** Of the newest checkpoint. */
  #bytes: number;
  /** Its last record. */
  #folded: number;
  /** Where the log stood, in bytes, at the newest checkpoint. */
  #loggedBefore = 0;
  #round: Promise<void> | undefined;
  #compaction: Compaction | undefined;
  /** After a round that failed, the log grows by as much again before the next. */
  #nextTryBytes = 0;
  #isClosing = false;
  /** Why the last round failed, if it did. */
  failure: unknown;

  constructor(journal: Journal, log: Log, segments: Segments, start: CheckpointStart, limits: CheckpointLimits) {
    this.#journal = journal;
    this.#log = log;
    this.#segments = segments;
    this.#bytes = start.bytes;
    this.#folded = start.sequence;
    this.#limits = limits;
  }

  get #logBytes(): number {
    return this.#log.bytes - this.#loggedBefore;
  }

  get #dead(): number {
    const { unpinnedTotal, pinnedBytes } = this.#journal.state.use;
    return this.#segments.totalBytes - pinnedBytes - unpinnedTotal;
  }

  get #allowedDead(): number {
    return (deadFactor - 1) * this.#journal.state.use.unpinnedTotal + 2 * this.#limits.fullSegmentBytes;
  }

  /** Called after each transaction: begins a round where one is due. Never throws. */
  consider(): void {
    if (this.#round !== undefined) {
      // Who writes faster than this compacts pays with steps of its own.
      if (this.#compaction !== undefined && this.#dead > 2 * this.#allowedDead) this.#tryStep();
      return;
    }
    const isDue = this.#logBytes > Math.max(this.#limits.logBytes, 2 * this.#bytes) || this.#dead > this.#allowedDead;
    if (!isDue || this.#isClosing || this.#log.bytes < this.#nextTryBytes) return;
    this.run().catch(() => {});
  }

  /** Runs a round; joins the one that runs. Rejects where it failed: then everything stays as it was before. */
  run(): Promise<void> {
    this.#round ??= this.#runRound().finally(() => {
      this.#round = undefined;
      this.#compaction = undefined;
      // What was written while it ran may be due already.
      this.consider();
    });
    return this.#round;
  }

  /** Ends what runs, and folds a log that would make the next opening slow. Never rejects. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await this.#round?.catch(() => {});
    if (this.#journal.hasFailed) return;
    if (this.#logBytes > this.#limits.closingLogBytes) await this.run().catch(() => {});
  }

  async #runRound(): Promise<void> {
    try {
      await this.#compact();
      await this.#checkpoint();
      this.failure = undefined;
    } catch (error) {
      this.failure = error;
      this.#nextTryBytes = this.#log.bytes + this.#limits.logBytes;
      throw error;
    }
  }

  /** Frees mostly dead segments, a step a turn. */
  async #compact(): Promise<void> {
    if (this.#dead <= this.#allowedDead) return;
    const { use } = this.#journal.state;
    const isWorthIt = ([segment, size]: [number, number]) =>
      use.pins(segment) === 0 && use.live(segment) > 0 && use.live(segment) < size / deadFactor;
    const sparse = this.#segments.listFull().filter(isWorthIt);
    this.#compaction = new Compaction(this.#journal, new Set(sparse.map(([segment]) => segment)));
    while (this.#compaction !== undefined) {
      await nextTurn();
      this.#journal.throwIfFailed();
      if (this.#compaction?.step()) this.#compaction = undefined;
    }
    this.#limits.onStep("compacted");
  }

  #tryStep(): void {
    try {
      if (this.#compaction?.step()) this.#compaction = undefined;
    } catch {
      // The transaction before it stands; the round meets the same and fails.
    }
  }

  async #checkpoint(): Promise<void> {
    const { directory, state } = this.#journal;
    const prepared = await this.#log.prepare();
    this.#limits.onStep("prepared");
    // From here to the switch in one turn: the position, what is dead and the file belong together.
    const { until, dead, pins, logged } = this.#switchLog(prepared);
    this.#limits.onStep("switched");
    await this.#journal.sync();
    this.#limits.onStep("synced");
    const passed = pins.filter(({ sequence }) => sequence >= this.#folded);
    const bytes = await this.#limits.fold({ directory, until, pins: passed });
    this.#journal.throwIfFailed();
    this.#limits.onStep("folded");
    fs.renameSync(newCheckpointPath(directory), checkpointPath(directory, until.sequence));
    this.#limits.onStep("named");
    await syncDirectoryLater(directory);
    this.#limits.onStep("durable");
    this.#bytes = bytes;
    this.#loggedBefore = logged;
    this.#folded = until.sequence;
    for (const file of listSuperseded(directory, until.sequence)) await fs.promises.rm(file);
    const kept = new Set(pins.map(({ sequence }) => sequence));
    for (const file of listPinFiles(directory)) if (!kept.has(file.sequence)) await fs.promises.rm(file.path);
    this.#limits.onStep("logs removed");
    for (const segment of dead) {
      if (state.use.live(segment) > 0) throw new Error(`segment ${segment} came to life again`);
      this.#segments.remove(segment);
      await nextTurn();
    }
    this.#limits.onStep("segments removed");
  }

  #switchLog(prepared: number) {
    try {
      this.#journal.flush();
    } catch (error) {
      fs.closeSync(prepared);
      throw error;
    }
    const { position: until, bytes: logged } = this.#log;
    const { use } = this.#journal.state;
    const pins = [...this.#journal.state.pins.values()].map(({ position }) => position);
    const dead = this.#segments
      .listFull()
      .filter(([segment]) => use.live(segment) === 0 && use.pins(segment) === 0)
      .map(([segment]) => segment);
    this.#log.switchTo(prepared);
    this.#journal.noteSwitch();
    return { until, dead, pins, logged };
  }
}

/** Removes what a crash left of a round. Call it when nothing of the journal is open. */
export function removeLeftovers(directory: string): void {
  const newest = listCheckpoints(directory).at(-1) ?? 0;
  const superseded = listSuperseded(directory, newest);
  // Its name may not be on stable storage yet, and then what is older is still needed.
  if (superseded.length > 0) syncDirectory(directory);
  for (const file of superseded) fs.rmSync(file);
  for (const name of [newCheckpointPath(directory), `${directory}/log.new`]) fs.rmSync(name, { force: true });
}

function listSuperseded(directory: string, sequence: number): string[] {
  const checkpoints = listCheckpoints(directory).filter((each) => each < sequence);
  const logs = listLogFiles(directory).filter(({ first }) => first <= sequence);
  return [...logs.map(({ path }) => path), ...checkpoints.map((each) => checkpointPath(directory, each))];
}

async function foldInThread(task: FoldTask): Promise<number> {
  const worker = new Worker(new URL("./fold-worker.ts", import.meta.url), { workerData: task });
  try {
    return await new Promise((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", (cause) => reject(foldFailed(task.directory, cause)));
      worker.once("exit", (code) => reject(new Error(`the thread that folds the log ended with ${code}`)));
    });
  } finally {
    await worker.terminate();
  }
}

function foldFailed(directory: string, cause: unknown): XenoError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const isDamage = code === "journal-damaged";
  return new XenoError(isDamage ? code : "checkpoint-failed", `cannot fold the log of ${directory}: ${message}`, {
    cause,
    hint: "The journal goes on without; look at the disk before its log fills it.",
  });
}

const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));
