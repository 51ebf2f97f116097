/**
 * A checkpoint: the state of a journal after some record, in one file (DESIGN 3, J4).
 *
 *     file   = header block* end               header = "XENOCKPT", version u32, sequence f64, checksum u32, epoch u32,
 *                                                       checksum of these u32, zeros up to 64 bytes
 *     block  = length u32, checksum u32, changes
 *     end    = 0 u32, checksum u32             nothing follows
 *
 * - (C1) A block's checksum is the CRC-32 of its changes, seeded with that of the block before it, the first with the
 *   header's: a checkpoint is whole to its end or it is damaged.
 * - (C2) A file gets its name only when it is whole and synced. So one that does not verify is damage, and opening
 *   refuses and names it: what was older would be older than what was promised.
 * - (C3) All that it speaks of was synced before, the data of its extents too.
 */
import fs from "node:fs";
import path from "node:path";
import { crc32 } from "node:zlib";
import { XenoError } from "../errors.ts";
import { ChangeReader, ChangeWriter } from "./changes.ts";
import { realDisk, writeFully } from "./disk.ts";
import { FileWindow, type LogPosition, logStart, maxPayloadBytes } from "./log-file.ts";
import type { Change, JournalState } from "./state.ts";
import { listChanges } from "./state-changes.ts";

const magic = "XENOCKPT";
const version = 1;
const headerBytes = 64;
const checkedHeaderBytes = 28;
const blockHeaderBytes = 8;
const blockBytes = 1024 * 1024;

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

/** Writes and syncs the file; returns its size. */
export function writeCheckpoint(filePath: string, position: LogPosition, state: JournalState): number {
  const file = fs.openSync(filePath, "w", 0o600);
  try {
    const header = formatHeader(position);
    writeFully(realDisk, file, header, 0);
    let end = header.length;
    let checksum = header.readUInt32LE(checkedHeaderBytes);
    const writer = new ChangeWriter();
    const writeBlock = () => {
      checksum = crc32(writer.bytes(), checksum);
      const block = Buffer.alloc(blockHeaderBytes);
      block.writeUInt32LE(writer.length, 0);
      block.writeUInt32LE(checksum, 4);
      writeFully(realDisk, file, Buffer.concat([block, writer.bytes()]), end);
      end += blockHeaderBytes + writer.length;
      writer.clear();
    };
    for (const change of listChanges(state)) {
      writer.change(change);
      if (writer.length >= blockBytes) writeBlock();
    }
    if (writer.length > 0) writeBlock();
    writeBlock();
    fs.fsyncSync(file);
    return end;
  } finally {
    fs.closeSync(file);
  }
}

/**
 * Applies the newest checkpoint's changes; returns where the log goes on, and its size. Without one the log has all.
 * Throws `journal-damaged`, `journal-too-new`.
 */
export function loadCheckpoint(directory: string, apply: (change: Change) => void): LogPosition & { bytes: number } {
  const sequence = listCheckpoints(directory).at(-1);
  if (sequence === undefined) return { ...logStart, bytes: 0 };
  const filePath = checkpointPath(directory, sequence);
  const file = fs.openSync(filePath, "r");
  try {
    return readCheckpoint(file, sequence, apply);
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

function readCheckpoint(
  file: number,
  sequence: number,
  apply: (change: Change) => void,
): LogPosition & { bytes: number } {
  const size = fs.fstatSync(file).size;
  const window = new FileWindow(file);
  if (size < headerBytes) throw new Error("it ends early");
  const header = Buffer.from(window.read(0, headerBytes));
  const position = parseHeader(header);
  if (position.sequence !== sequence) throw new Error(`it is of record ${position.sequence}`);
  let checksum = header.readUInt32LE(checkedHeaderBytes);
  for (let at = headerBytes; ; ) {
    if (at + blockHeaderBytes > size) throw new Error("it ends early");
    const blockHeader = window.read(at, blockHeaderBytes);
    const length = blockHeader.readUInt32LE(0);
    const expected = blockHeader.readUInt32LE(4);
    at += blockHeaderBytes;
    if (length > blockBytes + maxPayloadBytes || at + length > size) throw new Error(`it ends early, at byte ${at}`);
    const block = window.read(at, length);
    checksum = crc32(block, checksum);
    if (checksum !== expected) throw new Error(`the block at byte ${at} does not verify`);
    at += length;
    for (const change of new ChangeReader(block).changes()) apply(change);
    if (length > 0) continue;
    if (at !== size) throw new Error("something follows its end");
    return { ...position, bytes: size };
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

function parseHeader(header: Buffer): LogPosition {
  if (header.toString("latin1", 0, 8) !== magic) throw new Error("it does not start as a checkpoint does");
  if (crc32(header.subarray(0, checkedHeaderBytes)) !== header.readUInt32LE(checkedHeaderBytes))
    throw new Error("its header does not verify");
  const found = header.readUInt32LE(8);
  if (found > version)
    throw new XenoError("journal-too-new", `the checkpoint has version ${found}, this is version ${version}`, {
      hint: "Open it with the newer release that wrote it.",
    });
  return { sequence: header.readDoubleLE(12), checksum: header.readUInt32LE(20), epoch: header.readUInt32LE(24) };
}
