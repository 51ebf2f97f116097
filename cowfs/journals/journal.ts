/**
 * A journal: the writable layer of one domain or of one `xeno mount` (DESIGN 3).
 *
 * - (J1) Records are chained and checksummed and carry the checksum of the data they point at; see log.ts.
 * - (J2) Space is reserved before memory is changed. When an append, flush or sync fails all the same, the journal
 *   fails closed: it answers nothing more, and the next opener replays what is on the disk.
 * - (J6) One opener at a time.
 * - (J7) A transaction is one record: after a crash all of its changes are there, with its reply, or none.
 *
 * Directory layout: `checkpoint-<its last record>`, `log-<its first record>`, `pin-<its last record>`, `mark`,
 * `segments/`, `identity` (lineage and secrets, mode 0600), `origin` (of a fork), `lock`. How the log stays short and what
 * is dead goes: checkpoints.ts.
 */
import fs from "node:fs";
import path from "node:path";
import { crc32 } from "@node-rs/crc32";
import { FileSystemError, XenoError } from "../errors.ts";
import type { FileId } from "../file-system.ts";
import { ChangeWriter } from "./changes.ts";
import { type CheckpointLimits, defaultLimits, scaleLimits } from "./checkpoint-limits.ts";
import { Checkpoints, removeLeftovers } from "./checkpoints.ts";
import { chooseDisk, type Disk, settleAll, syncDirectory } from "./disk.ts";
import { GroupSync } from "./group-sync.ts";
import { holdsJournal, Identity } from "./identity.ts";
import { takeLock } from "./lock.ts";
import { Log } from "./log.ts";
import type { LogPosition } from "./log-file.ts";
import { listOrphanDrops, recover } from "./recovery.ts";
import { Reserve } from "./reserve.ts";
import { Room } from "./room.ts";
import { Segments } from "./segments.ts";
import { Snapshots } from "./snapshots.ts";
import { type Change, JournalState } from "./state.ts";

/** Room that every transaction may use without asking the disk again: replies, attributes and names fit. */
const transactionBytes = 256 * 1024;
/** After a lost tail, inode numbers that the tail may have used are passed over. */
const skippedInodes = 2 ** 20;
const skipBytes = 64;
const orphansPerRecord = 5000;

export class Journal {
  readonly directory: string;
  readonly state = new JournalState();
  readonly snapshots: Snapshots;
  readonly room: Room;
  /** Grows with every change. */
  changeCount = 0;
  readonly #lock: number;
  readonly #identity: Identity;
  readonly #log: Log;
  readonly #segments: Segments;
  readonly #checkpoints: Checkpoints;
  readonly #writer = new ChangeWriter();
  #inTransaction = false;
  #failure: unknown;
  readonly #syncs = new GroupSync(() => this.#syncNow());

  private constructor(directory: string, disk: Disk, limits: CheckpointLimits) {
    this.directory = directory;
    this.#lock = lockJournal(directory);
    try {
      this.#identity = new Identity(directory);
      this.#segments = new Segments(directory, disk, limits.fullSegmentBytes);
      this.#log = new Log(directory, disk);
      const parts = { log: this.#log, segments: this.#segments };
      const start = recover({ ...parts, directory, state: this.state, identity: this.#identity });
      removeLeftovers(directory);
      for (const { segments } of this.state.pins.values())
        for (const { segment } of segments) this.#segments.appendAfter(segment);
      this.#dropOrphans();
      // From here on a failed sync before this opening is made good, and what a lost tail may have used is passed over.
      if (this.#identity.tailMayBeLost) this.#skipInodes();
      this.#identity.save({ clean: false, syncFailed: false });
      syncDirectory(directory);
      this.#checkpoints = new Checkpoints(this, this.#log, this.#segments, start, limits);
      const reserve = new Reserve(directory);
      this.room = new Room(this, { ...parts, checkpoints: this.#checkpoints, reserve }, limits);
      this.snapshots = new Snapshots(this, this.#segments, this.#checkpoints);
      void this.#segments.catchUp();
    } catch (error) {
      this.#closeFiles();
      if (error instanceof XenoError) throw error;
      throw unusable(`cannot open the journal ${directory}`, error);
    }
  }

  /**
   * Opens the journal in `directory`, which is created when it is missing. Throws `in-use`, `journal-damaged`,
   * `journal-too-new`, `journal-unusable`.
   */
  static open(directory: string, disk?: Disk, limits: Partial<CheckpointLimits> = {}): Journal {
    try {
      const made = fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
      // One that is there without an identity may be of an opening that failed here.
      if (!holdsJournal(directory)) syncNames(directory, made);
    } catch (cause) {
      throw unusable(`cannot create the journal directory ${directory}`, cause);
    }
    return new Journal(directory, disk ?? chooseDisk(directory), scaleLimits({ ...defaultLimits, ...limits }));
  }

  get lineage(): Buffer {
    return this.#identity.lineage;
  }

  get handleKey(): Buffer {
    return this.#identity.handleKey;
  }

  get writeVerifier(): Buffer {
    return this.#identity.writeVerifier;
  }

  /** Where the log stands. */
  get position(): LogPosition {
    return this.#log.position;
  }

  /** The number for a new inode of slot 0. */
  allocateInode(): FileId {
    return this.state.nextInode++;
  }

  /**
   * Runs `run`, which may `apply` changes, and makes one record of them with the reply that it returns. Whatever it
   * throws before its first change leaves the journal as it was; a throw after one is a defect and fails the journal,
   * whose next opening shows nothing of the transaction. The reply is recorded also where nothing was changed.
   */
  transact(key: string | undefined, run: () => Buffer, bytes: number = transactionBytes): Buffer {
    if (this.#inTransaction) throw new Error("transactions do not nest");
    this.throwIfFailed();
    // None yet while it opens.
    if (this.#log.mustExtend(bytes)) this.room?.requireLog();
    this.#log.reserve(bytes);
    const reply = this.#record(key, run);
    this.#checkpoints?.consider();
    return reply;
  }

  #record(key: string | undefined, run: () => Buffer): Buffer {
    this.#inTransaction = true;
    try {
      const reply = run();
      if (key !== undefined) this.apply({ kind: "reply", key, bytes: reply });
      if (this.#writer.length > 0) {
        this.#log.append(this.#writer.bytes());
        this.#syncs.note();
      }
      return reply;
    } catch (error) {
      if (this.#writer.length > 0) this.#fail(error);
      throw error;
    } finally {
      this.#writer.clear();
      this.#inTransaction = false;
    }
  }

  /** Makes a change within a transaction. Nothing may throw between the first change and the last. */
  apply(change: Change): void {
    if (!this.#inTransaction) throw new Error("a change outside of a transaction");
    this.#writer.change(change);
    this.state.apply(change);
    this.changeCount++;
  }

  /**
   * Appends file bytes; they count once a `lay` change points at them. Throws ENOSPC or EIO. What clients write goes through
   * `room.append`, which keeps the quota.
   */
  appendData(bytes: Buffer): { address: number; checksum: number } {
    this.throwIfFailed();
    return { address: this.#segments.append(bytes), checksum: crc32(bytes) };
  }

  readData(address: number, length: number, target: Buffer, targetOffset: number): void {
    this.#segments.read(address, length, target, targetOffset);
  }

  /** Hands all records to the operating system: from here on they survive the death of this process. */
  flush(): void {
    this.throwIfFailed();
    try {
      this.#log.flush();
    } catch (error) {
      throw this.#fail(error);
    }
  }

  /**
   * Settles once everything so far is on stable storage. Callers that come while a sync runs share the next one; where
   * nothing has changed since it began, they share the running one.
   */
  sync(): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return this.#syncs.request();
  }

  /**
   * Folds the log into a checkpoint, and frees what nothing points at any more. It happens by itself where it is due.
   * Rejects where it failed: then nothing is lost, and it is tried again when the log has grown.
   */
  checkpoint(): Promise<void> {
    return this.#checkpoints.run();
  }

  /** Why the last checkpoint failed, if it did. */
  get checkpointFailure(): unknown {
    return this.#checkpoints.failure;
  }

  /** Files in which damage was found since it was opened; there is no other way to learn of what nobody reads than `verifyJournal`. */
  get damagedFiles(): string[] {
    return [...this.#segments.damaged].map((segment) => this.#segments.pathOf(segment));
  }

  /** The log goes on in another file: a sync is needed, also where nothing has changed. */
  noteSwitch(): void {
    this.#syncs.note();
  }

  /** Syncs and closes. A failed journal is closed as it is; one that fails in closing rejects. */
  async close(): Promise<void> {
    const failedBefore = this.#failure !== undefined;
    await this.#checkpoints.close();
    await this.room.close();
    try {
      if (this.#failure !== undefined && !failedBefore) throw this.#failure;
      if (this.#failure === undefined) {
        this.flush();
        await this.sync();
        this.#saveClean();
      }
    } finally {
      this.#failure ??= new XenoError("journal-closed", `the journal ${this.directory} is closed`);
      await this.#syncs.settled();
      this.#closeFiles();
    }
  }

  #saveClean(): void {
    try {
      this.#identity.save({ clean: true, syncFailed: false });
    } catch (error) {
      throw this.#fail(error);
    }
  }

  async #syncNow(): Promise<void> {
    this.flush();
    const sequence = this.#log.sequence;
    const ahead = this.#segments.wantedAheadBytes;
    if (ahead > 0 && this.room.hasSpare(ahead)) this.#segments.layAhead(ahead);
    try {
      // At the same time: a record that is there without its data does not verify (J1), and nobody was told of it.
      await settleAll([this.#segments.sync(), this.#log.sync()]);
      this.#log.markSynced(sequence);
    } catch (error) {
      throw this.#failSync(error);
    }
  }

  #dropOrphans(): void {
    const changes = listOrphanDrops(this.state);
    try {
      for (let at = 0; at < changes.length; at += orphansPerRecord)
        this.transact(undefined, () => this.#applyAll(changes.slice(at, at + orphansPerRecord)));
    } catch (error) {
      // A full disk can be opened: the next opening drops them.
      if (!(error instanceof FileSystemError)) throw error;
    }
  }

  #applyAll(changes: readonly Change[]): Buffer {
    for (const change of changes) this.apply(change);
    return Buffer.alloc(0);
  }

  #skipInodes(): void {
    const skip = () => {
      this.apply({ kind: "skip", nextInode: this.state.nextInode + skippedInodes });
      return Buffer.alloc(0);
    };
    this.transact(undefined, skip, skipBytes);
    this.flush();
    this.#log.syncNow();
  }

  #closeFiles(): void {
    this.#identity?.close();
    this.#log?.close();
    this.#segments?.close();
    fs.closeSync(this.#lock);
  }

  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  /** A journal that has failed or is closed answers nothing: its memory may show what no disk ever will. */
  throwIfFailed(): void {
    if (this.#failure !== undefined) throw new FileSystemError("EIO", String(this.#failure));
  }

  /** The next opener must know: what the operating system shows it may not be on the disk. */
  #failSync(cause: unknown): unknown {
    try {
      this.#identity.save({ clean: false, syncFailed: true, syncedRecords: this.#log.marked });
    } catch {
      // The disk takes nothing any more.
    }
    return this.#fail(cause);
  }

  #fail(cause: unknown): unknown {
    this.#failure ??= new XenoError("journal-failed", `the journal ${this.directory} has failed and is closed`, {
      cause,
      hint: "Mend the disk, then open it again: it goes on from what was written.",
    });
    return this.#failure;
  }
}

/** Of a directory and of those above it that were made for it: `first` is the highest of them. */
function syncNames(directory: string, first = directory): void {
  for (let at = path.resolve(directory); ; at = path.dirname(at)) {
    syncDirectory(path.dirname(at));
    if (at === path.resolve(first) || at === path.dirname(at)) return;
  }
}

function lockJournal(directory: string): number {
  try {
    return takeLock(path.join(directory, "lock"), `the journal ${directory}`);
  } catch (error) {
    if (error instanceof XenoError) throw error;
    throw unusable(`cannot lock the journal ${directory}`, error);
  }
}

function unusable(what: string, cause: unknown): XenoError {
  return new XenoError("journal-unusable", `${what}: ${(cause as Error).message}`, {
    cause,
    hint: "Look at the disk, at the permissions and at the space there.",
  });
}
