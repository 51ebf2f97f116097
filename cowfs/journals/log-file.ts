/**
 * One file of the log: how it is named, what it starts with and how its records are read (DESIGN 3, J1).
 *
 *     file    = header record*
 *     header  = "XENOJRNL", version u32, sequence f64, checksum u32, epoch u32, checksum of these u32, zeros up to 64 bytes
 *     record  = length u32, checksum u32, epoch u32, sequence f64, payload
 *
 * - (L1) A record's checksum is the CRC-32 of its other header fields and payload, seeded with the checksum of the
 *   record before it: a record is valid only after all that precede it.
 * - (L5) A file's header says where the chain stands before its first record, so that its first record too is valid
 *   only after all that precede it, whether these are still there or were folded into a checkpoint.
 *
 * Version 1 had one file for ever, named `log`, whose chain starts at nothing; it is read as the first of the files.
 */
import fs from "node:fs";
import path from "node:path";
import { crc32 } from "@node-rs/crc32";
import { XenoError } from "../errors.ts";

const magic = "XENOJRNL";
const version = 2;
export const fileHeaderBytes = 64;
const checkedHeaderBytes = 28;
export const recordHeaderBytes = 20;
const windowBytes = 1024 * 1024;
/** Larger than any transaction: the largest is an extended attribute of 64 KiB or a reply. */
export const maxPayloadBytes = 16 * 1024 * 1024;

/** Where the chain of records stands after some record; at first after none. */
export interface LogPosition {
  /** How many records there were. */
  readonly sequence: number;
  /** Of the last one. */
  readonly checksum: number;
  /** Grows with every opening. */
  readonly epoch: number;
}

export const logStart: LogPosition = { sequence: 0, checksum: 0, epoch: 0 };

export interface LogFile {
  readonly path: string;
  /** The sequence number of the first record in it. */
  readonly first: number;
}

export interface Scanned {
  readonly position: LogPosition;
  /** Where in the file the records end. */
  readonly end: number;
  /** What is wrong with the record after the last. */
  readonly reason: string;
}

/** Takes one record's payload. Returns false when it must not count: then nothing of it was taken and the log ends there. */
export type TakeRecord = (payload: Buffer, sequence: number) => boolean;

export function logFilePath(directory: string, first: number): string {
  return path.join(directory, `log-${String(first).padStart(16, "0")}`);
}

/** The files of a journal's log, oldest first. */
export function listLogFiles(directory: string): LogFile[] {
  const files: LogFile[] = [];
  for (const name of fs.readdirSync(directory)) {
    if (name === "log") files.push({ path: path.join(directory, name), first: 1 });
    const first = /^log-(\d{16})$/.exec(name)?.[1];
    if (first !== undefined) files.push({ path: path.join(directory, name), first: Number(first) });
  }
  return files.sort((a, b) => a.first - b.first);
}

export function formatLogHeader({ sequence, checksum, epoch }: LogPosition): Buffer {
  const header = Buffer.alloc(fileHeaderBytes);
  header.write(magic, 0, "latin1");
  header.writeUInt32LE(version, 8);
  header.writeDoubleLE(sequence, 12);
  header.writeUInt32LE(checksum, 20);
  header.writeUInt32LE(epoch, 24);
  header.writeUInt32LE(crc32(header.subarray(0, checkedHeaderBytes)), checkedHeaderBytes);
  return header;
}

/**
 * Where the chain stands before the file's first record; undefined where the header does not verify: a host that dies
 * soon after a file was made may leave nothing of it, or zeros. Throws `journal-damaged` for a file that is something
 * else, `journal-too-new`.
 */
export function readLogHeader(file: number, filePath: string): LogPosition | undefined {
  const header = Buffer.alloc(fileHeaderBytes);
  const count = fs.readSync(file, header, 0, header.length, 0);
  if (count < header.length || header.every((byte) => byte === 0)) return undefined;
  if (header.toString("latin1", 0, 8) !== magic)
    throw damagedLog(filePath, "it does not start as a journal's log does");
  const found = header.readUInt32LE(8);
  if (found > version)
    throw new XenoError("journal-too-new", `the log ${filePath} has version ${found}, this is version ${version}`, {
      hint: "Open it with the newer release that wrote it.",
    });
  if (found === 1) return logStart;
  if (crc32(header.subarray(0, checkedHeaderBytes)) !== header.readUInt32LE(checkedHeaderBytes)) return undefined;
  return { sequence: header.readDoubleLE(12), checksum: header.readUInt32LE(20), epoch: header.readUInt32LE(24) };
}

/** Reads a file's records, which follow `position`, up to the first that is none. */
export function scanLogFile(file: number, filePath: string, position: LogPosition, take: TakeRecord): Scanned {
  const size = fs.fstatSync(file).size;
  const window = new FileWindow(file);
  let { sequence, checksum, epoch } = position;
  let end = fileHeaderBytes;
  const stop = (reason: string) => ({ position: { sequence, checksum, epoch }, end, reason });
  for (;;) {
    if (end + recordHeaderBytes > size) return stop("is not there");
    const length = window.read(end, recordHeaderBytes).readUInt32LE(0);
    if (length === 0) return stop("is not there");
    if (length > maxPayloadBytes || end + recordHeaderBytes + length > size) return stop("does not verify");
    const record = window.read(end, recordHeaderBytes + length);
    const sum = sumRecord(record, checksum);
    const recordEpoch = record.readUInt32LE(8);
    if (sum !== record.readUInt32LE(4) || recordEpoch < epoch) return stop("does not verify");
    if (record.readDoubleLE(12) !== sequence + 1) return stop("does not verify");
    try {
      if (!take(record.subarray(recordHeaderBytes), sequence + 1)) return stop("lacks its data");
    } catch (cause) {
      if (cause instanceof XenoError && cause.code !== "journal-damaged") throw cause;
      throw damagedLog(filePath, `record ${sequence + 1} makes no sense: ${(cause as Error).message}`, cause);
    }
    checksum = sum;
    epoch = recordEpoch;
    sequence++;
    end += record.length;
  }
}

/** A record that follows `position`. */
export function formatRecord(payload: Buffer, { sequence, checksum, epoch }: LogPosition): Buffer {
  if (payload.length > maxPayloadBytes) throw new Error(`a record of ${payload.length} bytes is too large`);
  const record = Buffer.allocUnsafe(recordHeaderBytes + payload.length);
  record.writeUInt32LE(payload.length, 0);
  record.writeUInt32LE(epoch, 8);
  record.writeDoubleLE(sequence + 1, 12);
  payload.copy(record, recordHeaderBytes);
  record.writeUInt32LE(sumRecord(record, checksum), 4);
  return record;
}

export function damagedLog(filePath: string, what: string, cause?: unknown): XenoError {
  return new XenoError("journal-damaged", `the log ${filePath} is damaged: ${what}`, {
    cause,
    hint: "Nothing was changed. Restore the journal from a snapshot or a copy.",
  });
}

function sumRecord(record: Buffer, seed: number): number {
  const withLength = crc32(record.subarray(0, 4), seed);
  return crc32(record.subarray(8), withLength);
}

/** Reads a file from its start on in large steps. What it returns is valid until the next read. */
export class FileWindow {
  readonly #file: number;
  #bytes: Buffer;
  #start = 0;
  #length = 0;

  constructor(file: number) {
    this.#file = file;
    this.#bytes = Buffer.allocUnsafeSlow(Math.min(windowBytes, fs.fstatSync(file).size));
  }

  /** Bytes that lie before the end of the file. */
  read(position: number, length: number): Buffer {
    if (position < this.#start || position + length > this.#start + this.#length) this.#fill(position, length);
    return this.#bytes.subarray(position - this.#start, position - this.#start + length);
  }

  #fill(position: number, length: number): void {
    if (length > this.#bytes.length) this.#bytes = Buffer.allocUnsafeSlow(length);
    this.#start = position;
    this.#length = fs.readSync(this.#file, this.#bytes, 0, this.#bytes.length, position);
  }
}
