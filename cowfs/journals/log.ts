/**
 * The log: checksummed records in append-only files, one after the other (DESIGN 3, J1 and J2); see log-file.ts.
 *
 * - (L2) Space is written with zeros before it is needed, so that appending neither runs out of space nor changes the
 *   file's size: fdatasync then has no metadata to write, and a zero length ends the log.
 * - (L3) What was synced is marked beside the log. A bad record before the mark is damage, and opening refuses; after
 *   it, it is a torn tail that no one was promised: it is zeroed, and the zeros synced, before anything is appended.
 * - (L4) The mark is written after the sync that it speaks of and counts only what that sync covered; it may lag.
 * - (L6) A new file is laid down and synced under another name; switching to it is a header and a rename. Its name is
 *   on stable storage before a record in it is marked. Files that do not follow the records before them are no files.
 * - (L7) What lies after the mark is written again, as it is, before anything follows it: a sync of it may have failed, and
 *   the operating system then takes it for written although the disk never had it (fsync(2)). Opening then syncs and marks it
 *   before anything is served: it may have been promised, and a sync that fails later cuts back to the mark.
 */
import fs from "node:fs";
import path from "node:path";
import { FileSystemError } from "../errors.ts";
import { type Disk, rewrite, settleAll, syncDirectory, syncDirectoryLater, writeFully } from "./disk.ts";
import {
  damagedLog,
  fileHeaderBytes,
  formatLogHeader,
  formatRecord,
  type LogFile,
  type LogPosition,
  listLogFiles,
  logFilePath,
  logStart,
  readLogHeader,
  recordHeaderBytes,
  scanLogFile,
} from "./log-file.ts";
import { Mark } from "./mark.ts";

/** Zeros are laid down in such steps; 1 MiB holds some 5,000 creates. */
const stepBytes = 1024 * 1024;
const zeros = Buffer.alloc(stepBytes);
/** A torn tail may be many MiB. */
const tornBytes = 64 * 1024;

/**
 * Takes one record's payload; `isSynced` where the mark covers it. Returns false when the data that it points at is not
 * there, and then nothing of it was taken and the log ends before it.
 */
export type Replay = (payload: Buffer, isSynced: boolean) => boolean;

export class Log {
  readonly #directory: string;
  readonly #mark: Mark;
  readonly #disk: Disk;
  #position = logStart;
  /** The file that is appended to. */
  #file = -1;
  #path = "";
  /** Files before it that no sync has covered since the switch. */
  #previous: number[] = [];
  #hasNewFile = false;
  /** Where the next record goes in the file, and how far the file has been written with zeros. */
  #end = fileHeaderBytes;
  #reserved = 0;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  /** What the files before it take of the disk, until they go. */
  #olderBytes = 0;
  /** Bytes of records that were replayed or appended since opening. */
  bytes = 0;
  /** How many records are known to be on stable storage. */
  marked = 0;

  constructor(directory: string, disk: Disk) {
    this.#directory = directory;
    this.#disk = disk;
    this.#mark = new Mark(directory);
  }

  /**
   * Calls back with each record's payload after `start`, in order; afterwards the log is ready for appending. Files
   * that a checkpoint at `start` has made superfluous are passed over. At least `synced` records had been synced.
   */
  recover(start: LogPosition, synced: number, replay: Replay): void {
    const marked = Math.max(synced, this.#mark.read());
    this.marked = marked;
    const files = listLogFiles(this.#directory).filter(({ first }) => first > start.sequence);
    this.#position = start;
    this.#path = logFilePath(this.#directory, start.sequence + 1);
    this.#requireFirst(start, files[0]);
    let reason = "is not there";
    let followed = 0;
    for (const file of files) {
      const found = this.#follow(file, marked, replay);
      if (found === undefined) break;
      reason = found;
      followed++;
    }
    const { sequence } = this.#position;
    if (sequence < marked)
      throw damagedLog(this.#path, `record ${sequence + 1} ${reason}, and ${marked} records had been synced`);
    if (followed === 0 && start.sequence > 0) throw damagedLog(this.#path, "its header does not verify");
    for (const file of files.slice(followed)) fs.rmSync(file.path);
    if (followed < files.length) syncDirectory(this.#directory);
    if (followed === 0) this.#createFirst();
    else this.#zeroTail();
    this.#position = { ...this.#position, epoch: this.#position.epoch + 1 };
  }

  /** Where the chain stands, queued records included. */
  get position(): LogPosition {
    return this.#position;
  }

  /** How many records have been appended in the life of the log. */
  get sequence(): number {
    return this.#position.sequence;
  }

  /** What its files take of the disk. */
  get diskBytes(): number {
    return this.#reserved + this.#olderBytes;
  }

  /** Whether the file must be extended before `bytes` more can be appended. */
  mustExtend(bytes: number): boolean {
    return this.#reserved < this.#end + this.#pendingBytes + bytes + recordHeaderBytes;
  }

  /** Makes sure that `bytes` more can be appended. Throws ENOSPC, or EIO, before anything has changed. */
  reserve(bytes: number): void {
    while (this.mustExtend(bytes)) {
      try {
        this.#reserved += this.#disk.write(this.#file, zeros, 0, stepBytes, this.#reserved);
      } catch (cause) {
        const full = (cause as NodeJS.ErrnoException).code === "ENOSPC";
        throw new FileSystemError(full ? "ENOSPC" : "EIO", `cannot extend the log ${this.#path}: ${String(cause)}`);
      }
    }
  }

  /** Queues a record; it reaches the operating system with the next `flush`. */
  append(payload: Buffer): void {
    const record = formatRecord(payload, this.#position);
    const { sequence, epoch } = this.#position;
    this.#position = { sequence: sequence + 1, checksum: record.readUInt32LE(4), epoch };
    this.#pending.push(record);
    this.#pendingBytes += record.length;
    this.bytes += record.length;
    // A record may be longer than what was reserved for it: the next reservation must not write zeros over its end.
    this.#reserved = Math.max(this.#reserved, this.#end + this.#pendingBytes);
  }

  /** One write for all queued records. Throws what the disk says; the journal must then fail closed. */
  flush(): void {
    if (this.#pendingBytes === 0) return;
    const bytes = this.#pending.length === 1 ? this.#pending[0] : Buffer.concat(this.#pending);
    writeFully(this.#disk, this.#file, bytes, this.#end);
    this.#end += bytes.length;
    this.#pending = [];
    this.#pendingBytes = 0;
  }

  /** Settles when all that was flushed before the call is on stable storage. Runs off the event loop. */
  async sync(): Promise<void> {
    const previous = [...this.#previous];
    const file = this.#file;
    if (this.#hasNewFile) {
      this.#hasNewFile = false;
      await syncDirectoryLater(this.#directory);
    }
    await settleAll([...previous, file].map((each) => this.#disk.sync(each)));
    this.#previous = this.#previous.filter((each) => !previous.includes(each));
    for (const each of previous) fs.closeSync(each);
  }

  /** After a sync that began when `sequence` was the last record that had been flushed, and a sync of its data (L4). */
  markSynced(sequence: number): void {
    this.#mark.write(sequence);
    this.marked = sequence;
  }

  /** As `sync`, at once: for use before anything is served. */
  syncNow(): void {
    for (const each of [...this.#previous, this.#file]) this.#disk.syncNow(each);
    for (const each of this.#previous) fs.closeSync(each);
    this.#previous = [];
  }

  /** Lays a file down that `switchTo` then takes. Rejects with what the disk says; nothing has changed then. */
  async prepare(): Promise<number> {
    const file = fs.openSync(this.#preparedPath, "w+", 0o600);
    try {
      writeFully(this.#disk, file, zeros, 0);
      await this.#disk.sync(file);
      return file;
    } catch (error) {
      fs.closeSync(file);
      fs.rmSync(this.#preparedPath, { force: true });
      throw error;
    }
  }

  /**
   * Makes a prepared file the one that is appended to. All was flushed before; a sync must follow. A file without records
   * stays the one: its successor would take its name, before its own header is on stable storage.
   */
  switchTo(prepared: number): void {
    if (this.#pendingBytes > 0) throw new Error("records are queued for the file before");
    const next = logFilePath(this.#directory, this.#position.sequence + 1);
    if (next === this.#path) {
      fs.closeSync(prepared);
      fs.rmSync(this.#preparedPath);
      return;
    }
    try {
      writeFully(this.#disk, prepared, formatLogHeader(this.#position), 0);
      fs.renameSync(this.#preparedPath, next);
    } catch (error) {
      fs.closeSync(prepared);
      throw error;
    }
    this.#previous.push(this.#file);
    this.#olderBytes += this.#reserved;
    this.#file = prepared;
    this.#path = next;
    this.#hasNewFile = true;
    this.#end = fileHeaderBytes;
    this.#reserved = stepBytes;
  }

  /** The files before the current one are gone. */
  forgetOlder(): void {
    this.#olderBytes = 0;
  }

  close(): void {
    for (const file of [...this.#previous, this.#file]) if (file >= 0) fs.closeSync(file);
    this.#mark.close();
  }

  get #preparedPath(): string {
    return path.join(this.#directory, "log.new");
  }

  /** A checkpoint becomes durable after the file that follows it, and a file goes after the checkpoint of its records. */
  #requireFirst(start: LogPosition, file: LogFile | undefined): void {
    if (file?.first === start.sequence + 1) return;
    if (file !== undefined) throw damagedLog(file.path, `what leads up to record ${file.first} is missing`);
    if (start.sequence > 0) throw damagedLog(this.#path, "it is missing");
  }

  /** Replays a file and makes it the current one. Returns why it ended; undefined where it does not follow. */
  #follow({ path: filePath, first }: LogFile, marked: number, replay: Replay): string | undefined {
    if (first !== this.#position.sequence + 1) return undefined;
    const file = fs.openSync(filePath, fs.constants.O_RDWR);
    const header = readHeaderOrClose(file, filePath);
    const { sequence, checksum, epoch } = this.#position;
    const follows = header?.sequence === sequence && header.checksum === checksum && header.epoch >= epoch;
    if (!follows) {
      fs.closeSync(file);
      return undefined;
    }
    // What its writer had not synced when it died is for the next sync.
    if (this.#file >= 0 && sequence > marked) this.#previous.push(this.#file);
    else if (this.#file >= 0) fs.closeSync(this.#file);
    this.#file = file;
    this.#path = filePath;
    this.#olderBytes += this.#reserved;
    this.#reserved = fs.fstatSync(file).size;
    let end = fileHeaderBytes;
    let markedEnd = 0;
    const take = (payload: Buffer, record: number) => {
      end += recordHeaderBytes + payload.length;
      if (record <= marked) markedEnd = end;
      return replay(payload, record <= marked);
    };
    const scanned = scanLogFile(file, filePath, header, take);
    // With its header, where none of its records is marked.
    if (markedEnd < scanned.end) rewrite(this.#disk, file, markedEnd, scanned.end);
    this.#position = scanned.position;
    this.#end = scanned.end;
    this.bytes += scanned.end - fileHeaderBytes;
    return scanned.reason;
  }

  #createFirst(): void {
    this.#file = fs.openSync(this.#path, "w+", 0o600);
    writeFully(this.#disk, this.#file, formatLogHeader(this.#position), 0);
    this.#reserved = fileHeaderBytes;
  }

  /** A torn tail must not come back, whatever of the records that are written over it reaches the disk: so it is synced. */
  #zeroTail(): void {
    let isTorn = false;
    const found = Buffer.allocUnsafe(tornBytes);
    for (let at = this.#end; at < this.#reserved; at += found.length) {
      const length = Math.min(found.length, this.#reserved - at);
      fs.readSync(this.#file, found, 0, length, at);
      if (found.compare(zeros, 0, length, 0, length) === 0) continue;
      writeFully(this.#disk, this.#file, zeros.subarray(0, length), at);
      isTorn = true;
    }
    if (isTorn) this.#disk.syncNow(this.#file);
  }
}

function readHeaderOrClose(file: number, filePath: string): LogPosition | undefined {
  try {
    return readLogHeader(file, filePath);
  } catch (error) {
    fs.closeSync(file);
    throw error;
  }
}
