/**
 * The mark: how many records of a journal are known to be on stable storage (DESIGN 3, J1).
 *
 * The file holds two copies that are written in turn and in place, so that one torn write leaves the other and a full
 * disk takes them.
 */
import fs from "node:fs";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { crc32 } from "@node-rs/crc32";
import { realDisk, writeFully } from "./disk.ts";

const copyBytes = 12;
const markName = "mark";

/** Writes and syncs the mark of a journal that begins with records. */
export async function writeFirstMark(directory: string, sequence: number): Promise<void> {
  const bytes = Buffer.concat([formatCopy(sequence), Buffer.alloc(copyBytes)]);
  await writeFile(path.join(directory, markName), bytes, { mode: 0o600, flush: true });
}

function formatCopy(sequence: number): Buffer {
  const bytes = Buffer.alloc(copyBytes);
  bytes.writeDoubleLE(sequence, 0);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 8)), 8);
  return bytes;
}

export class Mark {
  readonly #file: number;
  #next = copyBytes;

  constructor(directory: string) {
    this.#file = fs.openSync(path.join(directory, markName), fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600);
    const empty = Buffer.alloc(2 * copyBytes);
    if (fs.fstatSync(this.#file).size < empty.length) writeFully(realDisk, this.#file, empty, 0);
  }

  read(): number {
    const bytes = Buffer.alloc(2 * copyBytes);
    fs.readSync(this.#file, bytes, 0, bytes.length, 0);
    const copies = [bytes.subarray(0, copyBytes), bytes.subarray(copyBytes)];
    const valid = copies.filter((copy) => crc32(copy.subarray(0, 8)) === copy.readUInt32LE(8));
    return Math.max(0, ...valid.map((copy) => copy.readDoubleLE(0)));
  }

  write(sequence: number): void {
    writeFully(realDisk, this.#file, formatCopy(sequence), this.#next);
    this.#next = copyBytes - this.#next;
  }

  close(): void {
    fs.closeSync(this.#file);
  }
}
