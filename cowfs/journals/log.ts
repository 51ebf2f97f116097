/**
 * The log: checksummed records in one append-only file (DESIGN 3, J1 and J2).
 *
 *     file    = header record*                 header = "XENOJRNL", version u32, zeros up to 64 bytes
 *     record  = length u32, checksum u32, epoch u32, sequence f64, payload
 *
 * - (L1) A record's checksum is the CRC-32 of its other header fields and payload, seeded with the checksum of the
 *   record before it: a record is valid only after all that precede it.
 * - (L2) Space is written with zeros before it is needed, so that appending neither runs out of space nor changes the
 *   file's size: fdatasync then has no metadata to write, and a zero length ends the log.
 * - (L3) What was synced is marked beside the log. A bad record before the mark is damage, and opening refuses; after
 *   it, it is a torn tail that no one was promised: it is zeroed, and the zeros synced, before anything is appended.
 * - (L4) The mark is written after the sync that it speaks of and counts only what that sync covered; it may lag.
 */
import fs from "node:fs";
import path from "node:path";
import { crc32 } from "node:zlib";
import { FileSystemError, XenoError } from "../errors.ts";
import { type Disk, writeFully } from "./disk.ts";

const magic = "XENOJRNL";
const version = 1;
const fileHeaderBytes = 64;
const recordHeaderBytes = 20;
const markBytes = 24;
/** Zeros are laid down in such steps; 1 MiB holds some 5,000 creates. */
const stepBytes = 1024 * 1024;
/** Larger than any transaction: the largest is an extended attribute of 64 KiB or a reply. */
const maxPayloadBytes = 16 * 1024 * 1024;

/**
 * Takes one record's payload; `isSynced` where the mark covers it. Returns false when the data that it points at is not
 * there, and then nothing of it was taken and the log ends before it.
 */
export type Replay = (payload: Buffer, isSynced: boolean) => boolean;

export class Log {
  readonly #file: number;
  readonly #mark: number;
  readonly #path: string;
  readonly #disk: Disk;
  #epoch = 0;
  #sequence = 0;
  #checksum = 0;
  /** Where the next record goes in the file, and how far the file has been written with zeros. */
  #end = fileHeaderBytes;
  #reserved = 0;
  #pending: Buffer[] = [];
  #pendingBytes = 0;

  constructor(directory: string, disk: Disk) {
    this.#disk = disk;
    this.#path = path.join(directory, "log");
    const flags = fs.constants.O_RDWR | fs.constants.O_CREAT;
    this.#file = fs.openSync(this.#path, flags, 0o600);
    this.#mark = fs.openSync(path.join(directory, "mark"), flags, 0o600);
    if (fs.fstatSync(this.#mark).size < markBytes) fs.writeSync(this.#mark, Buffer.alloc(markBytes), 0, markBytes, 0);
  }

  /** Calls back with each record's payload in order; afterwards the log is ready for appending. */
  recover(replay: Replay): void {
    const size = fs.fstatSync(this.#file).size;
    const marked = this.#readMark();
    if (this.#hasFileHeader()) this.#checkFileHeader();
    else if (marked > 0) throw this.#damaged(`it is empty, but ${marked} records had been synced`);
    else this.#writeFileHeader();
    this.#reserved = Math.max(size, fileHeaderBytes);
    const reason = this.#scan(size, marked, replay);
    if (this.#sequence < marked)
      throw this.#damaged(`record ${this.#sequence + 1} ${reason}, and ${marked} records had been synced`);
    this.#zeroTail(size);
    this.#epoch++;
  }

  /** How many records have been appended in the life of the log. */
  get sequence(): number {
    return this.#sequence;
  }

  /** Makes sure that `bytes` more can be appended. Throws ENOSPC, or EIO, before anything has changed. */
  reserve(bytes: number): void {
    const wanted = this.#end + this.#pendingBytes + bytes + recordHeaderBytes;
    while (this.#reserved < wanted) {
      try {
        this.#reserved += this.#disk.write(this.#file, Buffer.alloc(stepBytes), 0, stepBytes, this.#reserved);
      } catch (cause) {
        const full = (cause as NodeJS.ErrnoException).code === "ENOSPC";
        throw new FileSystemError(full ? "ENOSPC" : "EIO", `cannot extend the log ${this.#path}: ${String(cause)}`);
      }
    }
  }

  /** Queues a record; it reaches the operating system with the next `flush`. */
  append(payload: Buffer): void {
    if (payload.length > maxPayloadBytes) throw new Error(`a record of ${payload.length} bytes is too large`);
    const record = Buffer.allocUnsafe(recordHeaderBytes + payload.length);
    this.#sequence++;
    record.writeUInt32LE(payload.length, 0);
    record.writeUInt32LE(this.#epoch, 8);
    record.writeDoubleLE(this.#sequence, 12);
    payload.copy(record, recordHeaderBytes);
    this.#checksum = sumRecord(record, this.#checksum);
    record.writeUInt32LE(this.#checksum, 4);
    this.#pending.push(record);
    this.#pendingBytes += record.length;
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

  /**
   * Settles when all that was flushed before the call is on stable storage, and marks `sequence` as the last record that
   * is there with its data. Runs off the event loop: what is appended meanwhile is not marked.
   */
  async sync(sequence: number): Promise<void> {
    await this.#disk.sync(this.#file);
    this.#writeMark(sequence);
  }

  /** As `sync`, at once: for use before anything is served. */
  syncNow(): void {
    fs.fdatasyncSync(this.#file);
  }

  close(): void {
    fs.closeSync(this.#file);
    fs.closeSync(this.#mark);
  }

  /** Reads records up to the first that is none; returns what is wrong with that one. */
  #scan(size: number, marked: number, replay: Replay): string {
    const window = new LogWindow(this.#file);
    for (;;) {
      if (this.#end + recordHeaderBytes > size) return "is not there";
      const length = window.read(this.#end, recordHeaderBytes).readUInt32LE(0);
      if (length === 0) return "is not there";
      if (length > maxPayloadBytes || this.#end + recordHeaderBytes + length > size) return "does not verify";
      const record = window.read(this.#end, recordHeaderBytes + length);
      const checksum = sumRecord(record, this.#checksum);
      const epoch = record.readUInt32LE(8);
      if (checksum !== record.readUInt32LE(4) || epoch < this.#epoch) return "does not verify";
      if (record.readDoubleLE(12) !== this.#sequence + 1) return "does not verify";
      if (!this.#replay(record.subarray(recordHeaderBytes), marked, replay)) return "lacks its data";
      this.#checksum = checksum;
      this.#epoch = epoch;
      this.#sequence++;
      this.#end += record.length;
    }
  }

  #replay(payload: Buffer, marked: number, replay: Replay): boolean {
    try {
      return replay(payload, this.#sequence < marked);
    } catch (cause) {
      if (cause instanceof XenoError && cause.code !== "journal-damaged") throw cause;
      throw this.#damaged(`record ${this.#sequence + 1} makes no sense: ${(cause as Error).message}`, cause);
    }
  }

  /**
   * A torn tail must not come back, whatever of the records that are written over it reaches the disk: so it is synced.
   * Written in steps: it may be many MiB.
   */
  #zeroTail(size: number): void {
    let isTorn = false;
    const zeros = Buffer.alloc(64 * 1024);
    const found = Buffer.alloc(zeros.length);
    for (let at = this.#end; at < size; at += zeros.length) {
      const length = Math.min(zeros.length, size - at);
      fs.readSync(this.#file, found, 0, length, at);
      if (found.compare(zeros, 0, length, 0, length) === 0) continue;
      writeFully(this.#disk, this.#file, zeros.subarray(0, length), at);
      isTorn = true;
    }
    if (isTorn) fs.fdatasyncSync(this.#file);
  }

  #writeFileHeader(): void {
    const header = Buffer.alloc(fileHeaderBytes);
    header.write(magic, 0, "latin1");
    header.writeUInt32LE(version, 8);
    fs.writeSync(this.#file, header, 0, header.length, 0);
  }

  /** A host that dies soon after the log was made may leave nothing of it, or zeros. */
  #hasFileHeader(): boolean {
    const header = Buffer.alloc(fileHeaderBytes);
    const count = fs.readSync(this.#file, header, 0, header.length, 0);
    return count === header.length && header.some((byte) => byte !== 0);
  }

  #checkFileHeader(): void {
    const header = Buffer.alloc(fileHeaderBytes);
    fs.readSync(this.#file, header, 0, header.length, 0);
    if (header.toString("latin1", 0, 8) !== magic) throw this.#damaged("it does not start as a journal's log does");
    const found = header.readUInt32LE(8);
    if (found > version)
      throw new XenoError("journal-too-new", `the log ${this.#path} has version ${found}, this is version ${version}`, {
        hint: "Open it with the newer release that wrote it.",
      });
  }

  /** The mark holds two copies, so that one torn write leaves the other. */
  #readMark(): number {
    const bytes = Buffer.alloc(markBytes);
    fs.readSync(this.#mark, bytes, 0, bytes.length, 0);
    const copies = [bytes.subarray(0, 12), bytes.subarray(12)];
    const valid = copies.filter((copy) => crc32(copy.subarray(0, 8)) === copy.readUInt32LE(8));
    return Math.max(0, ...valid.map((copy) => copy.readDoubleLE(0)));
  }

  #writeMark(sequence: number): void {
    const bytes = Buffer.alloc(12);
    bytes.writeDoubleLE(sequence, 0);
    bytes.writeUInt32LE(crc32(bytes.subarray(0, 8)), 8);
    this.#markSlot = 12 - this.#markSlot;
    fs.writeSync(this.#mark, bytes, 0, bytes.length, this.#markSlot);
  }

  #markSlot = 0;

  #damaged(what: string, cause?: unknown): XenoError {
    return new XenoError("journal-damaged", `the log ${this.#path} is damaged: ${what}`, {
      cause,
      hint: "Nothing was changed. Restore the journal from a snapshot or a copy.",
    });
  }
}

function sumRecord(record: Buffer, seed: number): number {
  const withLength = crc32(record.subarray(0, 4), seed);
  return crc32(record.subarray(8), withLength);
}

/** Reads a file from its start on in large steps. What it returns is valid until the next read. */
class LogWindow {
  readonly #file: number;
  #bytes = Buffer.alloc(stepBytes);
  #start = 0;
  #length = 0;

  constructor(file: number) {
    this.#file = file;
  }

  /** Bytes that lie before the end of the file. */
  read(position: number, length: number): Buffer {
    if (position < this.#start || position + length > this.#start + this.#length) this.#fill(position, length);
    return this.#bytes.subarray(position - this.#start, position - this.#start + length);
  }

  #fill(position: number, length: number): void {
    if (length > this.#bytes.length) this.#bytes = Buffer.alloc(length);
    this.#start = position;
    this.#length = fs.readSync(this.#file, this.#bytes, 0, this.#bytes.length, position);
  }
}
