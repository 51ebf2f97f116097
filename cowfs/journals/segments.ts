/**
 * Segments: the files that hold the bytes that were written to a journal.
 *
 * An address is `segment * segmentBytes + position`. Bytes are appended and never overwritten, so what a record of the
 * log points at stays what it was (J1). A write never spans two segments. Appending goes on at the end of the last file:
 * what a crash left there and no record points at stays as garbage, and a record that points past the end is no record.
 *
 * - (A1) Where little is written between syncs, zeros are laid ahead of it: a sync then changes no metadata, and is a write and
 *   not a commit of the host's file system too. What comes in larger pieces would be written twice and gain little.
 * - (A2) Zeros that were laid ahead are no bytes of the segment: they are cut off when appending goes on in another, or ends. Those
 *   that a killed process leaves become its bytes, as garbage: nothing that a process before may have written is written over.
 */
import fs from "node:fs";
import path from "node:path";
import { crc32 } from "@node-rs/crc32";
import { FileSystemError, XenoError } from "../errors.ts";
import { type Disk, rewrite, settleAll, syncDirectory, syncDirectoryLater, writeFully } from "./disk.ts";
import { segmentBytes } from "./segment-use.ts";
import { type PreparedSums, SegmentVerification } from "./segment-verification.ts";

const maxOpenFiles = 128;
/** The checksums of a full segment are written down when it was synced; those of a smaller one with the next round. */
const keptAtSyncBytes = 1024 * 1024;
/** (A1) Between two syncs. */
const littleBytes = 128 * 1024;
/** As much again as there is, within these. */
const leastAheadBytes = 64 * 1024;
const mostAheadBytes = 1024 * 1024;
const zeros = Buffer.alloc(mostAheadBytes);

export function nameSegment(segment: number): string {
  return String(segment).padStart(8, "0");
}

export class Segments {
  readonly #directory: string;
  readonly #disk: Disk;
  /** Open files, least recently used first. */
  readonly #files = new Map<number, number>();
  /** Bytes in each segment. */
  readonly #sizes = new Map<number, number>();
  /** Segments that have bytes which no sync has covered. These, and those being synced, stay open. */
  readonly #unsynced = new Set<number>();
  #syncing = new Set<number>();
  #hasNewFile = false;
  #current = 0;
  /** How far the current one's file was written with zeros. */
  #reserved = 0;
  /** What was appended since the last sync began. */
  #appendedBytes = 0;
  readonly #verification: SegmentVerification;
  /** Those in which damage was found. */
  readonly damaged = new Set<number>();
  /** Bytes of all segments, those that nothing points at included. */
  totalBytes = 0;
  /** A write that would make a segment larger goes to the next. */
  readonly #fullBytes: number;

  constructor(directory: string, disk: Disk, fullBytes: number = segmentBytes) {
    this.#fullBytes = fullBytes;
    this.#directory = path.join(directory, "segments");
    this.#disk = disk;
    this.#verification = new SegmentVerification(directory, (...range) => this.#readBytes(...range));
    fs.mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    for (const name of fs.readdirSync(this.#directory)) {
      if (!/^\d{8}$/.test(name)) continue;
      const { size } = fs.statSync(path.join(this.#directory, name));
      this.#sizes.set(Number(name), size);
      this.totalBytes += size;
      this.#current = Math.max(this.#current, Number(name));
    }
    this.#verification.noteFound(this.#current, this.sizeOf(this.#current));
    // A process that died may have made one of them and not synced its name.
    this.#hasNewFile = this.#sizes.size > 0;
  }

  /** Appends bytes and returns their address. Throws ENOSPC or EIO, and then nothing of it counts. */
  append(bytes: Buffer): number {
    if (bytes.length > segmentBytes) throw new FileSystemError("EFBIG", `a write of ${bytes.length} bytes`);
    const filled = this.sizeOf(this.#current);
    if (filled > 0 && filled + bytes.length > this.#fullBytes) this.appendAfter(this.#current);
    const position = this.sizeOf(this.#current);
    try {
      writeFully(this.#disk, this.#open(this.#current), bytes, position);
    } catch (cause) {
      const full = (cause as NodeJS.ErrnoException).code === "ENOSPC";
      throw new FileSystemError(full ? "ENOSPC" : "EIO", `cannot write to ${this.#directory}: ${String(cause)}`);
    }
    this.#sizes.set(this.#current, position + bytes.length);
    this.#verification.noteAppended(this.#current, position, bytes);
    this.totalBytes += bytes.length;
    this.#appendedBytes += bytes.length;
    this.#unsynced.add(this.#current);
    return this.#current * segmentBytes + position;
  }

  /** Appending goes on in a segment after `segment`, also where that is not full: it is not appended to any more. */
  appendAfter(segment: number): void {
    if (segment < this.#current) return;
    this.#cutZeros();
    this.#current = segment + 1;
  }

  /** Zeros that were laid ahead. */
  get aheadBytes(): number {
    return Math.max(0, this.#reserved - this.sizeOf(this.#current));
  }

  /** How many zeros the next sync should lay ahead before it begins (A1); 0 where there are some, or it would not pay. */
  get wantedAheadBytes(): number {
    const size = this.sizeOf(this.#current);
    const isLittle = this.#appendedBytes > 0 && this.#appendedBytes <= littleBytes;
    if (!isLittle || !this.#unsynced.has(this.#current) || size < this.#reserved) return 0;
    const bytes = Math.min(Math.max(size, leastAheadBytes), mostAheadBytes);
    return Math.max(0, Math.min(bytes, this.#fullBytes - size));
  }

  /** Lays so many zeros ahead, or fewer where the disk does not take them: syncs are slower then, and nothing else. */
  layAhead(bytes: number): void {
    const size = this.sizeOf(this.#current);
    try {
      this.#reserved = size + this.#disk.write(this.#open(this.#current), zeros, 0, bytes, size);
    } catch {
      this.#reserved = size;
    }
  }

  /** (A2) Where they cannot be cut off they stay as garbage. */
  #cutZeros(): void {
    const file = this.#files.get(this.#current);
    if (this.aheadBytes > 0 && file !== undefined)
      try {
        this.#disk.cut(file, this.sizeOf(this.#current));
      } catch {
        // As after a kill.
      }
    this.#reserved = 0;
  }

  /** The one that is appended to. */
  get current(): number {
    return this.#current;
  }

  sizeOf(segment: number): number {
    return this.#sizes.get(segment) ?? 0;
  }

  pathOf(segment: number): string {
    return path.join(this.#directory, nameSegment(segment));
  }

  /** Throws `journal-damaged` where the bytes are not there or are not what was written (D2). */
  read(address: number, length: number, target: Buffer, targetOffset: number): void {
    for (let done = 0; done < length; ) {
      const segment = Math.floor((address + done) / segmentBytes);
      const position = (address + done) % segmentBytes;
      const part = Math.min(length - done, segmentBytes - position);
      this.#readPart(segment, position, target.subarray(targetOffset + done, targetOffset + done + part));
      done += part;
    }
  }

  #readPart(segment: number, position: number, target: Buffer): void {
    const at = this.#verification.read(segment, position, target);
    if (at >= 0) throw this.#damage(segment, `is not what was written, from byte ${at} on`);
  }

  #readBytes(segment: number, position: number, target: Buffer): void {
    for (let done = 0; done < target.length; ) {
      const count = this.#readSome(segment, position + done, target.subarray(done));
      if (count === 0) throw this.#damage(segment, `ends at byte ${position + done}`);
      done += count;
    }
  }

  #readSome(segment: number, position: number, target: Buffer): number {
    try {
      return fs.readSync(this.#open(segment), target, 0, target.length, position);
    } catch (cause) {
      throw new FileSystemError("EIO", `cannot read ${this.pathOf(segment)}: ${String(cause)}`);
    }
  }

  #damage(segment: number, what: string): XenoError {
    this.damaged.add(segment);
    return new XenoError("journal-damaged", `the segment ${this.pathOf(segment)} ${what}`, {
      hint: "What lies there is not given out. Restore the journal from a snapshot or a copy.",
    });
  }

  /** Whether there are bytes at all of an address range of one write. */
  holds(address: number, length: number): boolean {
    const position = address % segmentBytes;
    return position + length <= this.sizeOf(Math.floor(address / segmentBytes));
  }

  /** Whether the bytes at an address are those that a record points at. */
  verify(address: number, length: number, checksum: number): boolean {
    if (!this.holds(address, length)) return false;
    const bytes = Buffer.allocUnsafe(length);
    this.#readBytes(Math.floor(address / segmentBytes), address % segmentBytes, bytes);
    return crc32(bytes) === checksum;
  }

  /**
   * Takes over the bytes of one write by a process that may have died before it synced them, or when its sync had failed:
   * they are written again as they are, and the next sync covers them. Throws what the disk says.
   */
  adopt(address: number, length: number): void {
    const segment = Math.floor(address / segmentBytes);
    const position = address % segmentBytes;
    rewrite(this.#disk, this.#open(segment), position, position + length);
    this.#unsynced.add(segment);
    this.#hasNewFile = true;
  }

  /** A write of a process before, as its record has it. */
  noteWritten(address: number, length: number, checksum: number): void {
    this.#verification.noteWritten(address, length, checksum);
  }

  /** See SegmentVerification. */
  catchUp(): Promise<void> {
    return this.#verification.catchUp();
  }

  prepareSums(): PreparedSums {
    return this.#verification.prepare(this.list());
  }

  keepSums(prepared: PreparedSums): Promise<void> {
    return this.#verification.keep(prepared, this.#current);
  }

  /** All segments, with their sizes. */
  list(): [segment: number, size: number][] {
    return [...this.#sizes].sort(([a], [b]) => a - b);
  }

  /** Whether all bytes of a segment are verified when they are read. */
  isSummed(segment: number): boolean {
    return this.#verification.isWhole(segment, this.sizeOf(segment));
  }

  /** The segments that nothing is appended to any more, with their sizes. */
  listFull(): [segment: number, size: number][] {
    return [...this.#sizes].filter(([segment]) => segment < this.#current);
  }

  /** Unlinks a full segment that neither the disk's state nor memory points at. */
  remove(segment: number): void {
    if (segment >= this.#current) throw new Error(`segment ${segment} is still appended to`);
    const file = this.#files.get(segment);
    if (file !== undefined) fs.closeSync(file);
    this.#files.delete(segment);
    this.#unsynced.delete(segment);
    fs.rmSync(this.pathOf(segment));
    this.#verification.forget(segment);
    this.damaged.delete(segment);
    this.totalBytes -= this.sizeOf(segment);
    this.#sizes.delete(segment);
  }

  /** Settles when all that was appended before the call is on stable storage. One call at a time. */
  async sync(): Promise<void> {
    const segments = [...this.#unsynced];
    const full = this.listFull().filter(([segment, size]) => this.#unsynced.has(segment) && size >= keptAtSyncBytes);
    this.#unsynced.clear();
    this.#appendedBytes = 0;
    this.#syncing = new Set(segments);
    if (this.#hasNewFile) {
      this.#hasNewFile = false;
      await syncDirectoryLater(this.#directory);
    }
    const syncs = segments.map((segment) => this.#disk.sync(this.#open(segment)));
    await settleAll(syncs).finally(() => this.#syncing.clear());
    // Without them nothing is lost: the next round makes up for it.
    await this.#verification.keep(this.#verification.prepare(full), 0).catch(() => {});
  }

  /** As `sync`, at once: for use before anything is served. */
  syncNow(): void {
    if (this.#hasNewFile) syncDirectory(this.#directory);
    this.#hasNewFile = false;
    for (const segment of this.#unsynced) this.#disk.syncNow(this.#open(segment));
    this.#unsynced.clear();
  }

  close(): void {
    this.#cutZeros();
    this.#verification.close();
    for (const file of this.#files.values()) fs.closeSync(file);
    this.#files.clear();
  }

  #open(segment: number): number {
    const known = this.#files.get(segment);
    if (known !== undefined) {
      if (segment === this.#current) return known;
      this.#files.delete(segment);
      this.#files.set(segment, known);
      return known;
    }
    if (this.#files.size >= maxOpenFiles) this.#closeOldest();
    const isNew = !this.#sizes.has(segment);
    const flags = fs.constants.O_RDWR | (isNew ? fs.constants.O_CREAT : 0);
    const file = openOrRead(this.pathOf(segment), flags);
    this.#files.set(segment, file);
    if (isNew) {
      this.#sizes.set(segment, 0);
      this.#hasNewFile = true;
    }
    return file;
  }

  #closeOldest(): void {
    for (const [segment, file] of this.#files) {
      if (segment === this.#current || this.#unsynced.has(segment) || this.#syncing.has(segment)) continue;
      this.#files.delete(segment);
      fs.closeSync(file);
      return;
    }
  }
}

/** What cannot be written any more, as its host remounted it read-only, can still be read. */
function openOrRead(file: string, flags: number): number {
  try {
    return fs.openSync(file, flags, 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EROFS" || (flags & fs.constants.O_CREAT) !== 0) throw error;
    return fs.openSync(file, fs.constants.O_RDONLY);
  }
}
