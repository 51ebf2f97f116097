/** Journals and trees that hold anything: they open, or are refused with a code, and what opens can be read or says why not. */
import fs from "node:fs";
import path from "node:path";
import { blake3 } from "@napi-rs/blake-hash";
import { FileSystemError, XenoError } from "../../cowfs/errors.ts";
import { Journal } from "../../cowfs/journals/journal.ts";
import { encodeTree } from "../../cowfs/trees/encode.ts";
import { openTree } from "../../cowfs/trees/open.ts";
import { choose, createRandom, type Random } from "../random.ts";
import { type DiskImage, readImage, writeImage } from "./crashes/disk-image.ts";
import { Recording } from "./crashes/recorder.ts";
import { makeFastDirectory } from "./fast-directory.ts";
import { addFile, contentOf, rootFields } from "./journals/scratch.ts";
import { stacks } from "./union/stacks.ts";

type Count = (what: string, by?: number) => void;

const limits = { logBytes: Number.POSITIVE_INFINITY, closingLogBytes: Number.POSITIVE_INFINITY };

export async function fuzzFiles(seed: number, tries: number, count: Count): Promise<void> {
  const random = createRandom(seed);
  const home = makeFastDirectory();
  try {
    const image = await makeJournal(path.join(home, "made"), random);
    for (let attempt = 0; attempt < tries; attempt++) {
      await tryJournal(path.join(home, String(attempt)), image, random, count);
      tryTree(random, count);
    }
  } finally {
    fs.rmSync(home, { recursive: true, force: true });
  }
}

/** With a checkpoint, and a log after it. */
async function makeJournal(directory: string, random: Random): Promise<DiskImage> {
  const journal = Journal.open(directory);
  for (let index = 0; index < 10; index++) addFile(journal, `file ${index}`, "content ".repeat(random(200)));
  await journal.checkpoint();
  for (let index = 5; index < 15; index++) addFile(journal, `file ${index}`, "other ".repeat(random(200)));
  await journal.close();
  return readImage(directory);
}

async function tryJournal(directory: string, made: DiskImage, random: Random, count: Count): Promise<void> {
  const image: DiskImage = new Map(made);
  const files = [...made].filter(([, node]) => "content" in node && node.content.length > 0);
  for (let times = 1 + random(2); times > 0; times--) {
    const [number, node] = choose(random, files);
    if ("content" in node) {
      const content = spoil(node.content, random);
      image.set(number, { content, size: content.length });
    }
  }
  writeImage(image, directory);
  const recording = new Recording(directory, { start: image, steps: [] });
  try {
    const journal = Journal.open(directory, undefined, limits);
    const root = journal.state.inodes.get(rootFields.id);
    for (const { name } of root?.entries.after(0) ?? []) read(() => contentOf(journal, name));
    await journal.close();
    count("journals that opened");
  } catch (error) {
    if (!(error instanceof XenoError)) throw error;
    count(`journals refused with ${error.code}`);
  } finally {
    recording.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

function tryTree(random: Random, count: Count): void {
  const [layer] = stacks["one layer"].layers;
  const index = spoil(encodeTree(layer).index, random);
  try {
    // Under the name that its publisher signed.
    openTree(index, { read: () => {} }, blake3(index).toString("hex"));
    count("trees that opened");
  } catch (error) {
    if (!(error instanceof XenoError)) throw error;
    count("trees refused");
  }
}

function read(run: () => unknown): void {
  try {
    run();
  } catch (error) {
    if (!(error instanceof XenoError || error instanceof FileSystemError)) throw error;
  }
}

/** Bits, words and lengths that are others; pieces that are gone, doubled or moved. */
function spoil(bytes: Buffer, random: Random): Buffer {
  const spoilt = Buffer.from(bytes);
  const at = random(Math.max(1, spoilt.length));
  const length = Math.min(1 + random(64), spoilt.length - at);
  switch (random(6)) {
    case 0:
      spoilt[at] ^= 1 << random(8);
      return spoilt;
    case 1:
      if (at + 4 <= spoilt.length) spoilt.writeUInt32LE(choose(random, [0, 1, 0x7fffffff, 0xffffffff, 1 << 20]), at);
      return spoilt;
    case 2:
      return spoilt.subarray(0, at);
    case 3:
      return Buffer.concat([spoilt.subarray(0, at), spoilt.subarray(at + length)]);
    case 4:
      return Buffer.concat([spoilt.subarray(0, at + length), spoilt.subarray(at)]);
    default:
      spoilt.copy(spoilt, random(spoilt.length), at, at + length);
      return spoilt;
  }
}
