/**
 * Segments: the files that hold the bytes that were written to a journal.
 *
 * An address is `segment * segmentBytes + position`. Bytes are appended and never overwritten, so what a record of the
 * log points at stays what it was (J1). A write never spans two segments.
 */
import fs from "node:fs";
import path from "node:path";
import { crc32 } from "node:zlib";
import { FileSystemError, XenoError } from "../errors.ts";

export const segmentBytes = 64 * 1024 * 1024;

export class Segments {
  readonly #directory: string;
  readonly #files = new Map<number, number>();
  readonly #unsynced = new Set<number>();
  #current = 0;
  #position = 0;

  constructor(directory: string) {
    this.#directory = path.join(directory, "segments");
    fs.mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    for (const name of fs.readdirSync(this.#directory)) {
      const match = /^(\d{8})$/.exec(name);
      if (match !== null) this.#current = Math.max(this.#current, Number(match[1]));
    }
    this.#position = this.#size(this.#current);
  }

  /** Appends bytes and returns their address. Throws ENOSPC or EIO, and then nothing of it counts. */
  append(bytes: Buffer): number {
    if (this.#position + bytes.length > segmentBytes) {
      this.#current++;
      this.#position = 0;
    }
    try {
      const file = this.#open(this.#current, true);
      for (let written = 0; written < bytes.length; )
        written += fs.writeSync(file, bytes, written, bytes.length - written, this.#position + written);
    } catch (cause) {
      const full = (cause as NodeJS.ErrnoException).code === "ENOSPC";
      throw new FileSystemError(full ? "ENOSPC" : "EIO", `cannot write to ${this.#directory}: ${String(cause)}`);
    }
    const address = this.#current * segmentBytes + this.#position;
    this.#position += bytes.length;
    this.#unsynced.add(this.#current);
    return address;
  }

  read(address: number, length: number, target: Buffer, targetOffset: number): void {
    for (let done = 0; done < length; ) {
      const segment = Math.floor((address + done) / segmentBytes);
      const position = (address + done) % segmentBytes;
      const part = Math.min(length - done, segmentBytes - position);
      const count = fs.readSync(this.#open(segment, false), target, targetOffset + done, part, position);
      if (count === 0)
        throw new XenoError("journal-damaged", `segment ${segment} of ${this.#directory} ends at ${position}`, {
          hint: "Restore the journal from a snapshot or a copy.",
        });
      done += count;
    }
  }

  /** Whether the bytes at an address are those that a record points at. */
  verify(address: number, length: number, checksum: number): boolean {
    const bytes = Buffer.allocUnsafe(length);
    try {
      this.read(address, length, bytes, 0);
    } catch {
      return false;
    }
    return crc32(bytes) === checksum;
  }

  /** Settles when all that was appended before the call is on stable storage. */
  async sync(): Promise<void> {
    const segments = [...this.#unsynced];
    this.#unsynced.clear();
    await Promise.all(
      segments.map(
        (segment) =>
          new Promise<void>((resolve, reject) =>
            fs.fdatasync(this.#open(segment, false), (error) => (error === null ? resolve() : reject(error))),
          ),
      ),
    );
  }

  close(): void {
    for (const file of this.#files.values()) fs.closeSync(file);
    this.#files.clear();
  }

  #path(segment: number): string {
    return path.join(this.#directory, String(segment).padStart(8, "0"));
  }

  #size(segment: number): number {
    return fs.statSync(this.#path(segment), { throwIfNoEntry: false })?.size ?? 0;
  }

  #open(segment: number, create: boolean): number {
    const known = this.#files.get(segment);
    if (known !== undefined) return known;
    const flags = fs.constants.O_RDWR | (create ? fs.constants.O_CREAT : 0);
    const file = fs.openSync(this.#path(segment), flags, 0o600);
    this.#files.set(segment, file);
    if (create) syncDirectory(this.#directory);
    return file;
  }
}

/** A new file's name is on stable storage only once its directory is. */
export function syncDirectory(directory: string): void {
  const handle = fs.openSync(directory, fs.constants.O_RDONLY);
  try {
    fs.fsyncSync(handle);
  } finally {
    fs.closeSync(handle);
  }
}
