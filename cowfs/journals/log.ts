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
 *   it, it is a torn tail that no one was promised: it is zeroed before anything new is appended.
 */
import fs from "node:fs";
import path from "node:path";
import { crc32 } from "node:zlib";
import { FileSystemError, XenoError } from "../errors.ts";

const magic = "XENOJRNL";
const version = 1;
const fileHeaderBytes = 64;
const recordHeaderBytes = 20;
/** Zeros are laid down in such steps; 1 MiB holds some 5,000 creates. */
const stepBytes = 1024 * 1024;
/** Larger than any transaction: the largest is an extended attribute of 64 KiB or a reply. */
const maxPayloadBytes = 16 * 1024 * 1024;

export class Log {
  readonly #file: number;
  readonly #mark: number;
  readonly #path: string;
  #epoch = 0;
  #sequence = 0;
  #checksum = 0;
  /** Where the next record goes in the file, and how far the file has been written with zeros. */
  #end = fileHeaderBytes;
  #reserved = 0;
  #pending: Buffer[] = [];
  #pendingBytes = 0;

  constructor(directory: string) {
    this.#path = path.join(directory, "log");
    const flags = fs.constants.O_RDWR | fs.constants.O_CREAT;
    this.#file = fs.openSync(this.#path, flags, 0o600);
    this.#mark = fs.openSync(path.join(directory, "mark"), flags, 0o600);
  }

  /** Calls back with each record's payload in order; afterwards the log is ready for appending. */
  recover(replay: (payload: Buffer) => void): void {
    const size = fs.fstatSync(this.#file).size;
    const marked = this.#readMark();
    if (size < fileHeaderBytes) {
      if (marked > 0) throw this.#damaged(`it is ${size} bytes long, but ${marked} records had been synced`);
      this.#writeFileHeader();
    } else this.#checkFileHeader();
    this.#reserved = Math.max(size, fileHeaderBytes);
    this.#scan(size, replay);
    if (this.#sequence < marked)
      throw this.#damaged(`record ${this.#sequence + 1} does not verify, and ${marked} records had been synced`);
    this.#zeroTail(size);
    this.#epoch++;
  }

  get sequence(): number {
    return this.#sequence;
  }

  /** True while there are appended records that `flush` has not handed over. */
  get hasPending(): boolean {
    return this.#pendingBytes > 0;
  }

  /** Makes sure that `bytes` more can be appended. Throws ENOSPC, or EIO, before anything has changed. */
  reserve(bytes: number): void {
    const wanted = this.#end + this.#pendingBytes + bytes + recordHeaderBytes;
    while (this.#reserved < wanted) {
      try {
        fs.writeSync(this.#file, Buffer.alloc(stepBytes), 0, stepBytes, this.#reserved);
      } catch (cause) {
        const full = (cause as NodeJS.ErrnoException).code === "ENOSPC";
        throw new FileSystemError(full ? "ENOSPC" : "EIO", `cannot extend the log ${this.#path}: ${String(cause)}`);
      }
      this.#reserved += stepBytes;
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
  }

  /** One write for all queued records. Throws what the disk says; the journal must then fail closed. */
  flush(): void {
    if (this.#pendingBytes === 0) return;
    const bytes = this.#pending.length === 1 ? this.#pending[0] : Buffer.concat(this.#pending);
    for (let written = 0; written < bytes.length; )
      written += fs.writeSync(this.#file, bytes, written, bytes.length - written, this.#end + written);
    this.#end += bytes.length;
    this.#pending = [];
    this.#pendingBytes = 0;
  }

  /** Settles when all that was flushed before the call is on stable storage. Runs off the event loop. */
  async sync(): Promise<void> {
    const sequence = this.#sequence;
    await new Promise<void>((resolve, reject) => fs.fdatasync(this.#file, (e) => (e === null ? resolve() : reject(e))));
    this.#writeMark(sequence);
  }

  close(): void {
    fs.closeSync(this.#file);
    fs.closeSync(this.#mark);
  }

  #scan(size: number, replay: (payload: Buffer) => void): void {
    const header = Buffer.alloc(recordHeaderBytes);
    for (;;) {
      if (this.#end + recordHeaderBytes > size) return;
      fs.readSync(this.#file, header, 0, recordHeaderBytes, this.#end);
      const length = header.readUInt32LE(0);
      if (length === 0 || length > maxPayloadBytes || this.#end + recordHeaderBytes + length > size) return;
      const record = Buffer.allocUnsafe(recordHeaderBytes + length);
      if (fs.readSync(this.#file, record, 0, record.length, this.#end) !== record.length) return;
      const checksum = sumRecord(record, this.#checksum);
      if (checksum !== record.readUInt32LE(4) || record.readDoubleLE(12) !== this.#sequence + 1) return;
      replay(record.subarray(recordHeaderBytes));
      this.#checksum = checksum;
      this.#epoch = record.readUInt32LE(8);
      this.#sequence++;
      this.#end += record.length;
    }
  }

  /** A torn tail must not look like records of this epoch later on. Written in steps: it may be many MiB. */
  #zeroTail(size: number): void {
    const zeros = Buffer.alloc(64 * 1024);
    const found = Buffer.alloc(zeros.length);
    for (let at = this.#end; at < size; at += zeros.length) {
      const length = Math.min(zeros.length, size - at);
      fs.readSync(this.#file, found, 0, length, at);
      if (found.compare(zeros, 0, length, 0, length) !== 0) fs.writeSync(this.#file, zeros, 0, length, at);
    }
  }

  #writeFileHeader(): void {
    const header = Buffer.alloc(fileHeaderBytes);
    header.write(magic, 0, "latin1");
    header.writeUInt32LE(version, 8);
    fs.writeSync(this.#file, header, 0, header.length, 0);
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
    const bytes = Buffer.alloc(24);
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

  #damaged(what: string): XenoError {
    return new XenoError("journal-damaged", `the log ${this.#path} is damaged: ${what}`, {
      hint: "Nothing was changed. Restore the journal from a snapshot or a copy.",
    });
  }
}

function sumRecord(record: Buffer, seed: number): number {
  const withLength = crc32(record.subarray(0, 4), seed);
  return crc32(record.subarray(8), withLength);
}
