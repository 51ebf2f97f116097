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
 *   one round runs (R4 in room.ts): where more is dead, some full segment has less than a quarter live. A round begins then.
 * - (G5) For want of room a round compacts the most dead segments first, and copies no more than one holds.
 */
import fs from "node:fs";
import type { XenoError } from "../errors.ts";
import { viewColumns } from "./checkpoint-columns.ts";
import { checkpointPath, listCheckpoints, newCheckpointPath } from "./checkpoint-file.ts";
import type { CheckpointLimits } from "./checkpoint-limits.ts";
import { Compaction } from "./compaction.ts";
import { syncDirectory, syncDirectoryLater } from "./disk.ts";
import type { Folded, FoldTask } from "./fold.ts";
import type { Journal } from "./journal.ts";
import type { Log } from "./log.ts";
import { listLogFiles } from "./log-file.ts";
import { listPinFiles } from "./pins.ts";
import type { Segments } from "./segments.ts";

/** What opening loaded: its last record, and its size. */
export interface CheckpointStart {
  readonly sequence: number;
  readonly bytes: number;
}

/** Compacted where less of it than one in so many bytes is live. */
const deadFactor = 4;
/** For want of room, where less of it than so much is live. */
const urgentLiveness = 7 / 8;
/** On a full disk a round copies such a part of a segment: that is what the reserve is made for. */
const reservedPart = 1 / deadFactor;
/** While a round runs, the log may grow to so many times what makes a round begin. */
const outrunFactor = 4;

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
  /** What the segments held when the round that runs began. */
  #bytesBefore = 0;
  #pinBytes = 0;
  /** Pins that the next round leaves files of. */
  unfoldedPins = 0;
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
    this.countPins();
  }

  get isRunning(): boolean {
    return this.#round !== undefined;
  }

  /** Of the newest one. */
  get checkpointBytes(): number {
    return this.#bytes;
  }

  /** What checkpoints and the files of pins take of the disk. */
  get fileBytes(): number {
    return this.#bytes + this.#pinBytes;
  }

  /** Called where pins were taken, dropped or folded. */
  countPins(): void {
    const pins = [...this.#journal.state.pins.values()];
    this.unfoldedPins = pins.filter(({ position }) => position.sequence >= this.#folded).length;
    this.#pinBytes = sumPinFiles(this.#journal.directory);
  }

  /** Records since the newest one. */
  get logBytes(): number {
    return this.#log.bytes - this.#loggedBefore;
  }

  /** In segments that no pin keeps. */
  get deadBytes(): number {
    const { unpinnedTotal, pinnedBytes } = this.#journal.state.use;
    return this.#segments.totalBytes - pinnedBytes - unpinnedTotal;
  }

  get #allowedDead(): number {
    return (deadFactor - 1) * this.#journal.state.use.unpinnedTotal + 2 * this.#limits.fullSegmentBytes;
  }

  get #dueLogBytes(): number {
    return Math.max(this.#limits.logBytes, 2 * this.#bytes);
  }

  /** Whether more has been written since the round that runs began than it should be given while it runs. */
  get isOutrun(): boolean {
    if (this.#round === undefined) return false;
    const written = this.#segments.totalBytes - this.#bytesBefore;
    if (written > Math.max(this.#bytesBefore, outrunFactor * this.#limits.fullSegmentBytes)) return true;
    return this.logBytes > outrunFactor * this.#dueLogBytes;
  }

  /** Called after each transaction: begins a round where one is due. Never throws. */
  consider(): void {
    if (this.#round !== undefined) return;
    const isDue = this.logBytes > this.#dueLogBytes || this.deadBytes > this.#allowedDead;
    if (!isDue || this.#isClosing || this.#log.bytes < this.#nextTryBytes) return;
    this.run().catch(() => {});
  }

  /**
   * Runs a round; joins the one that runs. Rejects where it failed: then everything stays as it was before. `isUrgent`: for
   * want of room (G5).
   */
  run(isUrgent = false): Promise<void> {
    this.#bytesBefore = this.#round === undefined ? this.#segments.totalBytes : this.#bytesBefore;
    this.#round ??= this.#runRound(isUrgent).finally(() => {
      this.#round = undefined;
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
    if (this.logBytes > this.#limits.closingLogBytes) await this.run().catch(() => {});
  }

  async #runRound(isUrgent: boolean): Promise<void> {
    const { room } = this.#journal;
    try {
      await this.#tryRound(isUrgent).catch((error) => {
        if (!isFull(error) || !room.releaseReserve()) throw error;
        return this.#tryRound(isUrgent, reservedPart);
      });
      this.failure = undefined;
      await room.keepReserve();
    } catch (error) {
      this.failure = error;
      this.#nextTryBytes = this.#log.bytes + this.#limits.logBytes;
      this.#limits.onFailed(error);
      throw error;
    }
  }

  async #tryRound(isUrgent: boolean, copiedPart = 1): Promise<void> {
    await this.#compact(isUrgent, copiedPart);
    await this.#checkpoint();
  }

  /** Frees mostly dead segments, a step a turn. */
  async #compact(isUrgent: boolean, copiedPart: number): Promise<void> {
    if (!isUrgent && this.deadBytes <= this.#allowedDead) return;
    const { current } = this.#segments;
    const isSparse = this.#journal.state.use.live(current) < urgentLiveness * this.#segments.sizeOf(current);
    if (isUrgent && isSparse) this.#segments.appendAfter(current);
    const isBound = isUrgent || copiedPart < 1 || this.#limits.quotaBytes !== Number.POSITIVE_INFINITY;
    const most = isBound ? copiedPart * this.#limits.fullSegmentBytes : Number.POSITIVE_INFINITY;
    const chosen = this.#chooseSparse(isUrgent ? urgentLiveness : 1 / deadFactor, most);
    const compaction = new Compaction(this.#journal, chosen);
    do {
      await nextTurn();
      this.#journal.throwIfFailed();
    } while (!compaction.step());
    this.#limits.onStep("compacted");
  }

  /** The segments of which less than such a part is live, so many that no more bytes than `mostBytes` are copied. */
  #chooseSparse(liveness: number, mostBytes: number): Set<number> {
    const { use } = this.#journal.state;
    const sparse = this.#segments
      .listFull()
      .map(([segment, size]) => ({ segment, live: use.live(segment), part: use.live(segment) / size }))
      .filter(({ segment }) => use.pins(segment) === 0 && !this.#segments.damaged.has(segment))
      .filter(({ live, part }) => live > 0 && part < liveness)
      .sort((a, b) => a.part - b.part);
    const chosen = new Set<number>();
    let left = mostBytes;
    for (const { segment, live } of sparse) {
      left -= live;
      if (left < 0) break;
      chosen.add(segment);
    }
    return chosen;
  }

  async #checkpoint(): Promise<void> {
    const { directory, state } = this.#journal;
    // What the records know of the segments' bytes goes with the log.
    await this.#segments.catchUp();
    const prepared = await this.#log.prepare();
    this.#limits.onStep("prepared");
    // From here to the switch in one turn: the position, what is dead and the file belong together.
    const { until, dead, pins, logged, sums } = this.#switchLog(prepared);
    this.#limits.onStep("switched");
    await this.#journal.sync();
    this.#limits.onStep("synced");
    // Without them nothing is lost: the next round makes up for it.
    await this.#segments.keepSums(sums).catch(() => {});
    const passed = pins.filter(({ sequence }) => sequence >= this.#folded);
    const { bytes, sections, rare } = await this.#fold({ directory, until, pins: passed });
    this.#journal.throwIfFailed();
    this.#limits.onStep("folded");
    fs.renameSync(newCheckpointPath(directory), checkpointPath(directory, until.sequence));
    this.#limits.onStep("named");
    await syncDirectoryLater(directory);
    this.#limits.onStep("durable");
    state.adopt(viewColumns(sections), rare);
    this.#bytes = bytes;
    this.#loggedBefore = logged;
    this.#folded = until.sequence;
    for (const file of listSuperseded(directory, until.sequence)) await fs.promises.rm(file);
    const kept = new Set(pins.map(({ sequence }) => sequence));
    for (const file of listPinFiles(directory)) if (!kept.has(file.sequence)) await fs.promises.rm(file.path);
    this.#log.forgetOlder();
    this.countPins();
    this.#limits.onStep("logs removed");
    for (const segment of dead) {
      if (state.use.live(segment) > 0) throw new Error(`segment ${segment} came to life again`);
      this.#segments.remove(segment);
      await nextTurn();
    }
    this.#limits.onStep("segments removed");
  }

  /** A thread may fail to start, or die, for a moment's want of something: who waits for room is not told that the disk is full. */
  async #fold(task: FoldTask): Promise<Folded> {
    try {
      return await this.#limits.fold(task);
    } catch (error) {
      if (isFull(error) || (error as XenoError).code === "journal-damaged") throw error;
      return await this.#limits.fold(task);
    }
  }

  #switchLog(prepared: number) {
    try {
      this.#journal.flush();
    } catch (error) {
      fs.closeSync(prepared);
      throw error;
    }
    const { position: until, bytes: logged } = this.#log;
    const { use, inodes } = this.#journal.state;
    const pins = [...this.#journal.state.pins.values()].map(({ position }) => position);
    const dead = this.#segments
      .listFull()
      .filter(([segment]) => use.live(segment) === 0 && use.pins(segment) === 0)
      .map(([segment]) => segment);
    const sums = this.#segments.prepareSums();
    this.#log.switchTo(prepared);
    this.#journal.noteSwitch();
    inodes.noteSwitch();
    return { until, dead, pins, logged, sums };
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

function sumPinFiles(directory: string): number {
  return listPinFiles(directory).reduce((sum, { path }) => sum + fs.statSync(path).size, 0);
}

/** Whether a round found no room, itself or in its thread. */
function isFull(error: unknown): boolean {
  return error instanceof Error && ((error as NodeJS.ErrnoException).code === "ENOSPC" || isFull(error.cause));
}

const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));
