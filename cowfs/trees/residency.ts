/**
 * Which chunks of a tree are on the local disk, across restarts: one bit per chunk in a small file.
 *
 * The file is a header of 48 bytes ("XENORES1", the tree's id, the number of chunks as u32, zeros) and the bits. Bits are
 * written in place: a byte on disk is either its old or its new value, and both are true, so that no crash can make a
 * state that was not. A file of another tree or another length is thrown away.
 */
import fs from "node:fs";
import { promisify } from "node:util";

const headerBytes = 48;
const write = promisify(fs.write);

export class Residency {
  readonly #descriptor: number;
  readonly #file: Buffer;
  /** False on a disk that was full when the file was to be made: it is made with the first bits that find room. */
  #isMade = true;

  constructor(name: string, treeId: string, count: number) {
    const header = makeHeader(treeId, count);
    this.#descriptor = fs.openSync(name, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600);
    this.#file = Buffer.concat([header], headerBytes + Math.ceil(count / 8));
    const stored = fs.readFileSync(this.#descriptor);
    if (stored.length === this.#file.length && stored.subarray(0, headerBytes).equals(header)) {
      stored.copy(this.#file);
    } else {
      fs.ftruncateSync(this.#descriptor, 0);
      this.#isMade = this.#make();
    }
  }

  has(chunk: number): boolean {
    return (this.#file[headerBytes + (chunk >>> 3)] & (1 << (chunk & 7))) !== 0;
  }

  /** Records chunks whose data is on stable storage. */
  async record(chunks: readonly number[]): Promise<void> {
    if (chunks.length === 0) return;
    let first = this.#file.length;
    let last = 0;
    for (const chunk of chunks) {
      const at = headerBytes + (chunk >>> 3);
      this.#file[at] |= 1 << (chunk & 7);
      first = Math.min(first, at);
      last = Math.max(last, at);
    }
    if (this.#isMade) await write(this.#descriptor, this.#file, first, last + 1 - first, first);
    else this.#isMade = this.#make();
  }

  /** Takes back a record that turned out to be wrong. */
  forget(chunk: number): void {
    if (!this.has(chunk)) return;
    const at = headerBytes + (chunk >>> 3);
    this.#file[at] &= ~(1 << (chunk & 7));
    if (this.#isMade) fs.writeSync(this.#descriptor, this.#file, at, 1, at);
  }

  close(): void {
    fs.closeSync(this.#descriptor);
  }

  /** A file that is only begun has another length, and is thrown away by whoever opens it. */
  #make(): boolean {
    try {
      return fs.writeSync(this.#descriptor, this.#file, 0, this.#file.length, 0) === this.#file.length;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
      return false;
    }
  }
}

/** What a residency file says now, for whoever does not own it: nothing where it is missing or of another tree. */
export async function readResidency(name: string, treeId: string, count: number): Promise<(chunk: number) => boolean> {
  const file = await fs.promises.readFile(name).catch(() => Buffer.alloc(0));
  const isWhole = file.length === headerBytes + Math.ceil(count / 8);
  if (!isWhole || !file.subarray(0, headerBytes).equals(makeHeader(treeId, count))) return () => false;
  return (chunk) => (file[headerBytes + (chunk >>> 3)] & (1 << (chunk & 7))) !== 0;
}

/** What a residency file says now, chunk by chunk, for whoever does not own it and asks again and again. */
export class RecordedChunks {
  readonly #name: string;
  readonly #header: Buffer;
  readonly #bytes: number;
  readonly #byte = Buffer.alloc(1);
  #descriptor: number | undefined;

  constructor(name: string, treeId: string, count: number) {
    this.#name = name;
    this.#header = makeHeader(treeId, count);
    this.#bytes = headerBytes + Math.ceil(count / 8);
  }

  has(chunk: number): boolean {
    this.#descriptor ??= this.#open();
    if (this.#descriptor === undefined) return false;
    const isThere = fs.readSync(this.#descriptor, this.#byte, 0, 1, headerBytes + (chunk >>> 3)) === 1;
    return isThere && (this.#byte[0] & (1 << (chunk & 7))) !== 0;
  }

  close(): void {
    if (this.#descriptor !== undefined) fs.closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }

  /** Undefined as long as there is none, or one of another tree. */
  #open(): number | undefined {
    let descriptor: number | undefined;
    try {
      descriptor = fs.openSync(this.#name, fs.constants.O_RDONLY);
      const header = Buffer.alloc(headerBytes);
      fs.readSync(descriptor, header, 0, headerBytes, 0);
      if (fs.fstatSync(descriptor).size === this.#bytes && header.equals(this.#header)) return descriptor;
    } catch {
      // It says nothing then.
    }
    if (descriptor !== undefined) fs.closeSync(descriptor);
    return undefined;
  }
}

/** One bit per chunk, in memory only. */
export class ChunkSet {
  readonly #bits: Uint8Array;

  constructor(count: number) {
    this.#bits = new Uint8Array(Math.ceil(count / 8));
  }

  has(chunk: number): boolean {
    return (this.#bits[chunk >>> 3] & (1 << (chunk & 7))) !== 0;
  }

  add(chunk: number): void {
    this.#bits[chunk >>> 3] |= 1 << (chunk & 7);
  }

  delete(chunk: number): void {
    this.#bits[chunk >>> 3] &= ~(1 << (chunk & 7));
  }
}

function makeHeader(treeId: string, count: number): Buffer {
  const header = Buffer.alloc(headerBytes);
  header.write("XENORES1", 0, "latin1");
  header.write(treeId, 8, "hex");
  header.writeUInt32LE(count, 40);
  return header;
}
