/** The memory of a simulated domain as a stream: a header, bytes that stand for pages, and a checksum of all of it. */
import { createHash } from "node:crypto";
import type { Readable } from "node:stream";
import { XenoError } from "../../../cowfs/errors.ts";
import type { Machine } from "./simulated-machine.ts";

export interface SavedMemory {
  readonly platform: string;
  readonly memoryMiB: number;
  readonly cpus: number;
  readonly memory: Machine["memory"];
  readonly reboots: number;
  readonly isUp: boolean;
}

const pieceBytes = 64 * 1024;
const digestBytes = 32;

export async function* writeImage(machine: Machine, fillerBytes: number): AsyncGenerator<Buffer> {
  const { platform, memoryMiB, cpus, memory, reboots, isUp } = machine;
  const saved: SavedMemory = { platform, memoryMiB, cpus, memory, reboots, isUp };
  const hash = createHash("sha256");
  const header = Buffer.from(`${JSON.stringify(saved)}\n`);
  hash.update(header);
  yield header;
  for (let left = fillerBytes; left > 0; left -= pieceBytes) {
    const piece = Buffer.alloc(Math.min(left, pieceBytes), left % 251);
    hash.update(piece);
    yield piece;
  }
  yield hash.digest();
}

/** Rejects with `image-damaged`, or with the stream's error. */
export async function readImage(image: Readable): Promise<SavedMemory> {
  const pieces: Buffer[] = [];
  for await (const piece of image) pieces.push(Buffer.from(piece));
  const bytes = Buffer.concat(pieces);
  const content = bytes.subarray(0, Math.max(0, bytes.length - digestBytes));
  const isWhole = createHash("sha256").update(content).digest().equals(bytes.subarray(content.length));
  if (!isWhole)
    throw new XenoError("image-damaged", "the simulator does not take the memory image", {
      hint: "resume an older checkpoint",
    });
  return JSON.parse(content.subarray(0, content.indexOf(10)).toString()) as SavedMemory;
}
