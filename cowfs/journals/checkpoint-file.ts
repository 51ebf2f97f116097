/**
 * A checkpoint: the state of a journal after some record, in one file (DESIGN 3, J4).
 *
 *     file    = header section*             header = "XENOCKPT", version u32, sequence f64, checksum u32, epoch u32,
 *                                                       checksum of these u32, zeros up to 64 bytes
 *     section = length f64, checksum u32, 0 u32, a column, zeros up to a multiple of 8: see checkpoint-columns.ts
 *
 * - (C1) A section's checksum is the CRC-32 of its column, seeded with that of the section before it, the first with the
 *   header's: a checkpoint is whole to its end or it is damaged.
 * - (C2) A file gets its name only when it is whole and synced. So one that does not verify is damage, and opening
 *   refuses and names it: what was older would be older than what was promised.
 * - (C3) All that it speaks of was synced before, the data of its extents too.
 */
import fs from "node:fs";
import path from "node:path";
import { crc32 } from "@node-rs/crc32";
import { XenoError } from "../errors.ts";
import { ChangeReader } from "./changes.ts";
import { loadColumns, sectionCount, writeColumns } from "./checkpoint-columns.ts";
import { realDisk, writeFully } from "./disk.ts";
import { FileWindow, type LogPosition, logStart, maxPayloadBytes } from "./log-file.ts";
import type { JournalState } from "./state.ts";

const magic = "XENOCKPT";
const version = 2;
const headerBytes = 64;
const checkedHeaderBytes = 28;
const sectionHeaderBytes = 16;
const blockHeaderBytes = 8;
const maxBlockBytes = 1024 * 1024 + maxPayloadBytes;
/** Linux reads less than 2 GiB at once. */
const readBytes = 1024 * 1024 * 1024;

export function checkpointPath(directory: string, sequence: number): string {
  return path.join(directory, `checkpoint-${String(sequence).padStart(16, "0")}`);
}

/** Where a checkpoint is made before it gets its name. */
export function newCheckpointPath(directory: string): string {
  return path.join(directory, "checkpoint.new");
}

/** The sequence numbers of a journal's checkpoints, oldest first. */
export function listCheckpoints(directory: string): number[] {
  const found = fs.readdirSync(directory).map((name) => /^checkpoint-(\d{16})$/.exec(name)?.[1]);
  return found
    .filter((sequence) => sequence !== undefined)
    .map(Number)
    .sort((a, b) => a - b);
}

/** Writes and syncs the file; returns its size, and its sections. */
export function writeCheckpoint(
  filePath: string,
  position: LogPosition,
  state: JournalState,
): { bytes: number; sections: Buffer[] } {
  const file = fs.openSync(filePath, "w", 0o600);
  try {
    const header = formatHeader(position);
    writeFully(realDisk, file, header, 0);
    let end = header.length;
    let checksum = header.readUInt32LE(checkedHeaderBytes);
    const sections = writeColumns(state);
    for (const section of sections) {
      checksum = crc32(section, checksum);
      const before = Buffer.alloc(sectionHeaderBytes);
      before.writeDoubleLE(section.length, 0);
      before.writeUInt32LE(checksum, 8);
      writeFully(realDisk, file, before, end);
      writeFully(realDisk, file, section, end + sectionHeaderBytes);
      end += sectionHeaderBytes + section.length;
      writeFully(realDisk, file, Buffer.alloc(padded(section.length) - section.length), end);
      end += padded(section.length) - section.length;
    }
    fs.fsyncSync(file);
    return { bytes: end, sections };
  } finally {
    fs.closeSync(file);
  }
}

/**
 * Loads the newest checkpoint into an empty state; returns where the log goes on, and its size. Without one the log has all.
 * Throws `journal-damaged`, `journal-too-new`.
 */
export function loadCheckpoint(directory: string, state: JournalState): LogPosition & { bytes: number } {
  const sequence = listCheckpoints(directory).at(-1);
  if (sequence === undefined) return { ...logStart, bytes: 0 };
  return readCheckpoint(checkpointPath(directory, sequence), sequence, state);
}

/** The same for a file that should be the checkpoint after a record. */
export function readCheckpoint(
  filePath: string,
  sequence: number,
  state: JournalState,
): LogPosition & { bytes: number } {
  const file = fs.openSync(filePath, "r");
  try {
    const size = fs.fstatSync(file).size;
    if (size < headerBytes) throw new Error("it ends early");
    const header = Buffer.alloc(headerBytes);
    fs.readSync(file, header, 0, headerBytes, 0);
    const { found, ...position } = parseHeader(header);
    if (position.sequence !== sequence) throw new Error(`it is of record ${position.sequence}`);
    const checksum = header.readUInt32LE(checkedHeaderBytes);
    if (found === 1) readBlocks(file, size, checksum, state);
    else loadColumns(readSections(readWhole(file, size), checksum), state);
    return { ...position, bytes: size };
  } catch (cause) {
    if (cause instanceof XenoError && cause.code !== "journal-damaged") throw cause;
    throw new XenoError("journal-damaged", `the checkpoint ${filePath} is damaged: ${(cause as Error).message}`, {
      cause,
      hint: "Nothing was changed. Restore the journal from a snapshot or a copy.",
    });
  } finally {
    fs.closeSync(file);
  }
}

/** In memory of its own, at which the columns stay. */
function readWhole(file: number, size: number): Buffer {
  const bytes = Buffer.from(new ArrayBuffer(size));
  for (let at = 0; at < size; ) {
    const count = fs.readSync(file, bytes, at, Math.min(size - at, readBytes), at);
    if (count === 0) throw new Error("it ends early");
    at += count;
  }
  return bytes;
}

function readSections(bytes: Buffer, headerChecksum: number): Buffer[] {
  const sections: Buffer[] = [];
  let checksum = headerChecksum;
  let at = headerBytes;
  while (sections.length < sectionCount) {
    if (at + sectionHeaderBytes > bytes.length) throw new Error("it ends early");
    const length = bytes.readDoubleLE(at);
    const start = at + sectionHeaderBytes;
    if (!(length >= 0 && start + padded(length) <= bytes.length)) throw new Error(`it ends early, at byte ${start}`);
    const section = bytes.subarray(start, start + length);
    checksum = crc32(section, checksum);
    if (checksum !== bytes.readUInt32LE(at + 8) || bytes.readUInt32LE(at + 12) !== 0)
      throw new Error(`the section at byte ${at} does not verify`);
    for (at = start + length; at < start + padded(length); at++)
      if (bytes[at] !== 0) throw new Error(`byte ${at} should be 0`);
    sections.push(section);
  }
  if (at !== bytes.length) throw new Error("something follows its end");
  return sections;
}

/** So that every section begins where an array of doubles may. */
function padded(length: number): number {
  return Math.ceil(length / 8) * 8;
}

/** Version 1: blocks of changes, the last one empty. */
function readBlocks(file: number, size: number, headerChecksum: number, state: JournalState): void {
  const window = new FileWindow(file);
  let checksum = headerChecksum;
  for (let at = headerBytes; ; ) {
    if (at + blockHeaderBytes > size) throw new Error("it ends early");
    const blockHeader = window.read(at, blockHeaderBytes);
    const length = blockHeader.readUInt32LE(0);
    const expected = blockHeader.readUInt32LE(4);
    at += blockHeaderBytes;
    if (length > maxBlockBytes || at + length > size) throw new Error(`it ends early, at byte ${at}`);
    const block = window.read(at, length);
    checksum = crc32(block, checksum);
    if (checksum !== expected) throw new Error(`the block at byte ${at} does not verify`);
    at += length;
    for (const change of new ChangeReader(block).changes()) state.apply(change);
    if (length > 0) continue;
    if (at !== size) throw new Error("something follows its end");
    return;
  }
}

function formatHeader({ sequence, checksum, epoch }: LogPosition): Buffer {
  const header = Buffer.alloc(headerBytes);
  header.write(magic, 0, "latin1");
  header.writeUInt32LE(version, 8);
  header.writeDoubleLE(sequence, 12);
  header.writeUInt32LE(checksum, 20);
  header.writeUInt32LE(epoch, 24);
  header.writeUInt32LE(crc32(header.subarray(0, checkedHeaderBytes)), checkedHeaderBytes);
  return header;
}

function parseHeader(header: Buffer): LogPosition & { found: number } {
  if (header.toString("latin1", 0, 8) !== magic) throw new Error("it does not start as a checkpoint does");
  if (crc32(header.subarray(0, checkedHeaderBytes)) !== header.readUInt32LE(checkedHeaderBytes))
    throw new Error("its header does not verify");
  const found = header.readUInt32LE(8);
  if (found > version)
    throw new XenoError("journal-too-new", `the checkpoint has version ${found}, this is version ${version}`, {
      hint: "Open it with the newer release that wrote it.",
    });
  const [sequence, checksum, epoch] = [header.readDoubleLE(12), header.readUInt32LE(20), header.readUInt32LE(24)];
  return { found, sequence, checksum, epoch };
}
