/**
 * Room: what a journal takes of the disk, what it may take, and who waits where there is none (DESIGN 3, J5).
 *
 * - (R1) All is billed: segments with what is live, dead and pinned in them and laid ahead, log, checkpoints, files of pins, the reserve.
 * - (R2) What makes the state grow is refused or waits as soon as a round of checkpoints would have no room left but for a
 *   segment, which is for data that replaces other data. So at the limit a round can always run, what makes the state
 *   smaller always has room in the log, and files can be overwritten.
 * - (R3) Who finds no room, while a round would free some, waits for that round. Nobody waits for the same garbage twice.
 * - (R4) Who writes faster than a round folds waits for its end: what is written meanwhile at most doubles the disk's use.
 * - (R5) On a full disk the same holds by the reserve, which only a round gets. Until it is made good, nothing grows.
 */
import fs from "node:fs";
import { FileSystemError } from "../errors.ts";
import { Fault } from "../fault.ts";
import type { Statistics } from "../file-system.ts";
import type { Checkpoints } from "./checkpoints.ts";
import type { Journal } from "./journal.ts";
import type { Log } from "./log.ts";
import type { Reserve } from "./reserve.ts";
import type { Segments } from "./segments.ts";

export interface RoomLimits {
  /** What the journal's directory may take. Default: what the disk has. */
  readonly quotaBytes: number;
  /** How many inodes it may hold: each takes some 700 bytes of memory. */
  readonly quotaFiles: number;
  /** A full segment has about so many bytes. */
  readonly fullSegmentBytes: number;
}

/** What a file takes of log and checkpoint, with its name: for who counts what is free. */
const fileBytes = 512;
const logStepBytes = 1024 * 1024;
/** A smaller journal has no reserve. */
const reservedFromBytes = 8 * 1024 * 1024;
const reserveRetryMs = 1000;

export class Room {
  readonly #journal: Journal;
  readonly #log: Log;
  readonly #segments: Segments;
  readonly #checkpoints: Checkpoints;
  readonly #reserve: Reserve;
  readonly #limits: RoomLimits;
  /** (R3) Until so much is reclaimable, another round would not help. */
  #hopelessBytes = 0;
  #reserveTried = 0;
  #keeping: Promise<boolean> | undefined;

  constructor(
    journal: Journal,
    parts: { log: Log; segments: Segments; checkpoints: Checkpoints; reserve: Reserve },
    limits: RoomLimits,
  ) {
    this.#journal = journal;
    this.#log = parts.log;
    this.#segments = parts.segments;
    this.#checkpoints = parts.checkpoints;
    this.#reserve = parts.reserve;
    this.#limits = limits;
  }

  /** What the journal takes of the disk (R1). */
  get usedBytes(): number {
    return this.#segments.totalBytes + this.#segments.aheadBytes + this.#metadataBytes;
  }

  /** As statfs(2) shows it: what is dead counts as free, for a write that needs it gets it. */
  get statistics(): Statistics {
    const { state, directory } = this.#journal;
    const host = fs.statfsSync(directory);
    const dead = this.#checkpoints.deadBytes;
    const hostFree = host.bavail * host.bsize + dead;
    const { quotaBytes, quotaFiles } = this.#limits;
    const isLimited = quotaBytes !== Number.POSITIVE_INFINITY;
    const allowed = isLimited
      ? Math.max(0, quotaBytes - this.usedBytes - this.#roundBytes - this.#limits.fullSegmentBytes + dead)
      : hostFree;
    const freeBytes = Math.min(hostFree, allowed);
    const freeFiles = Math.max(0, Math.min(quotaFiles - state.inodes.size, Math.floor(freeBytes / fileBytes)));
    return {
      totalBytes: isLimited ? quotaBytes : host.blocks * host.bsize,
      freeBytes,
      availableBytes: freeBytes,
      totalFiles: state.inodes.size + freeFiles,
      freeFiles,
    };
  }

  /**
   * Appends a client's file bytes, of which so many replace others of this journal; they count once a `lay` change points at
   * them. Throws ENOSPC or EIO; or a Fault that settles when there may be room.
   */
  append(bytes: Buffer, replacedBytes: number): { address: number; checksum: number } {
    this.require(bytes.length, 0, replacedBytes);
    try {
      return this.#journal.appendData(bytes);
    } catch (error) {
      if ((error as FileSystemError).code === "ENOSPC") this.#waitForRound("what the disk has");
      throw error;
    }
  }

  /** The same for any other change that makes the state grow, before its first change: by so many bytes and inodes. */
  require(bytes: number, inodes: number, replacedBytes = 0): void {
    const { quotaBytes, quotaFiles } = this.#limits;
    if (inodes > 0 && this.#journal.state.inodes.size + inodes > quotaFiles)
      throw new FileSystemError("ENOSPC", `the journal ${this.#journal.directory} has its ${quotaFiles} files`);
    if (this.#reserve.isReleased) this.#waitForReserve();
    // The first one; after that rounds see to it.
    if (this.#reserveTried === 0 && this.usedBytes >= reservedFromBytes) void this.keepReserve();
    const kept = this.#roundBytes + (replacedBytes < bytes || bytes === 0 ? this.#limits.fullSegmentBytes : 0);
    if (this.usedBytes + bytes + kept > quotaBytes) this.#waitForRound(`its ${quotaBytes} bytes`);
    if (this.#checkpoints.isOutrun) throw this.#faultUntil(() => this.#checkpoints.run());
    try {
      this.#log.reserve(logStepBytes / 2 + bytes / 64);
    } catch (error) {
      if ((error as FileSystemError).code === "ENOSPC") this.#waitForRound("what the disk has");
      throw error;
    }
  }

  /** Whether so many bytes may be taken that nobody needs: they must not cost anybody else the room (R2), (R5). */
  hasSpare(bytes: number): boolean {
    if (this.#reserve.isReleased) return false;
    const kept = this.#roundBytes + this.#limits.fullSegmentBytes;
    return this.usedBytes + bytes + kept <= this.#limits.quotaBytes;
  }

  /** Before the log is extended: also for what makes the state smaller. Throws ENOSPC. */
  requireLog(): void {
    if (this.usedBytes + logStepBytes <= this.#limits.quotaBytes) return;
    this.#checkpoints.run(true).catch(() => {});
    throw new FileSystemError("ENOSPC", `the log of ${this.#journal.directory} has no room within the quota`);
  }

  /** Says whether there was one. */
  releaseReserve(): boolean {
    if (this.#reserve.bytes === 0) return false;
    this.#reserve.release();
    return true;
  }

  /** After a round, and now and then: makes sure that the next round has its room on a disk that fills up. */
  async keepReserve(): Promise<void> {
    if (this.usedBytes < reservedFromBytes && !this.#reserve.isReleased) return;
    this.#reserveTried = performance.now();
    const { fullSegmentBytes } = this.#limits;
    // Of what compaction copies, as much as it does while there is no want.
    const copied = this.#segments.totalBytes > fullSegmentBytes ? fullSegmentBytes / 4 : 0;
    // More than needed where there is more: it must still do after the round that it was for.
    this.#keeping = this.#reserve.ensure(1.25 * this.#foldBytes + copied, this.#foldBytes + copied);
    await this.#keeping;
  }

  /** Settles when nothing of it runs any more. */
  async close(): Promise<void> {
    await this.#keeping;
  }

  /** What another pin takes: a checkpoint of its own. */
  get pinBytes(): number {
    return this.#checkpoints.checkpointBytes + this.#checkpoints.logBytes;
  }

  get #metadataBytes(): number {
    return this.#log.diskBytes + this.#checkpoints.fileBytes + this.#reserve.bytes;
  }

  /** What a round takes before it frees anything, less what is reserved for it: (R2). */
  get #roundBytes(): number {
    return Math.max(0, this.#limits.fullSegmentBytes + this.#foldBytes - this.#reserve.bytes);
  }

  /** A log file, a checkpoint, which is no larger than the one before and the log together, and one for each new pin. */
  get #foldBytes(): number {
    return logStepBytes + (1 + this.#checkpoints.unfoldedPins) * this.pinBytes;
  }

  /** What a round could free, at most. */
  get #reclaimableBytes(): number {
    return this.#checkpoints.deadBytes + Math.max(0, this.#log.diskBytes - logStepBytes);
  }

  #waitForRound(full: string): never {
    if (this.#checkpoints.isRunning) throw this.#faultUntil(() => this.#checkpoints.run());
    const gain = Math.min(this.#limits.fullSegmentBytes, logStepBytes) / 4;
    this.#hopelessBytes = Math.min(this.#hopelessBytes, this.#reclaimableBytes + gain);
    if (this.#reclaimableBytes < Math.max(gain, this.#hopelessBytes))
      throw new FileSystemError("ENOSPC", `the journal ${this.#journal.directory} has taken ${full}`);
    throw this.#faultUntil(() => this.#checkpoints.run(true), gain);
  }

  #waitForReserve(): void {
    if (this.#checkpoints.isRunning) throw this.#faultUntil(() => this.#checkpoints.run());
    if (performance.now() - this.#reserveTried > reserveRetryMs) throw this.#faultUntil(() => this.keepReserve());
    this.#waitForRound("what the disk has");
  }

  /** Settles in any case: who waited looks again. */
  #faultUntil(happens: () => Promise<void>, gain = 0): Fault {
    const bring = async () => {
      await happens().catch(() => {});
      if (gain > 0) this.#hopelessBytes = this.#reclaimableBytes + gain;
    };
    return new Fault([{ key: `room in ${this.#journal.directory}`, bring }]);
  }
}
