/**
 * What a disk holds, and what a crash may leave of what was done to it.
 *
 * A process that dies leaves all that it did. A host that dies leaves what was synced and any subset of the rest: of bytes,
 * sector by sector; of names, one by one, since a name is on stable storage only once its directory was synced (fsync(2)).
 */
import fs from "node:fs";
import path from "node:path";
import { choose, type Random } from "../../random.ts";

export type DiskStep =
  | { kind: "make"; directory: number; name: string; node: number; isDirectory: boolean }
  /** `node` gets another name, whatever else the old one means on a disk that has lost something. */
  | { kind: "rename"; node: number; directory: number; name: string; toDirectory: number; toName: string }
  | { kind: "remove"; directory: number; name: string }
  /** `length` bytes; those after `bytes` are zeros: journals lay down many, in advance. */
  | { kind: "write"; node: number; position: number; bytes: Buffer; length: number }
  | { kind: "cut"; node: number; size: number }
  /** A sync has returned that covers what was done to the node before step `before`. */
  | { kind: "synced"; node: number; before: number }
  /**
   * A sync has failed. What it was to cover may never reach the disk, whatever a later sync says: the operating system
   * takes it for written (fsync(2), ERRORS).
   */
  | { kind: "dropped"; node: number; before: number };

/** A file's bytes after `content` are zeros. */
export type DiskNode = { content: Buffer; size: number } | { entries: Map<string, number> };
/** By number; the root is 0. */
export type DiskImage = Map<number, DiskNode>;

const sectorBytes = 512;
const noBytes = Buffer.alloc(0);

/** What the disk holds after the first `count` steps if only the process dies. */
export function afterKill(start: DiskImage, steps: readonly DiskStep[], count: number): DiskImage {
  const image = copyImage(start);
  for (const step of steps.slice(0, count)) apply(image, step);
  return image;
}

/** What it may hold if the host dies. */
export function afterPowerLoss(start: DiskImage, steps: readonly DiskStep[], count: number, random: Random): DiskImage {
  const isDurable = findDurable(steps, count);
  /** How much of what was not synced stays: each node has its own luck. */
  const luck = new Map<number, number>();
  const stays = (node: number) => {
    if (!luck.has(node)) luck.set(node, choose(random, [0, 0, 1, 2, 3, 4, 4]));
    return random(4) < luck.get(node)!;
  };
  const image = copyImage(start);
  for (const [index, step] of steps.slice(0, count).entries()) {
    const node = nodeOf(step);
    if (step.kind === "synced" || step.kind === "dropped") continue;
    // Its directory, or the node itself, did not come to be.
    if (step.kind !== "make" && !image.has(node)) continue;
    if (isDurable(index)) apply(image, step);
    else if (step.kind === "write") tear(image, step, () => stays(node), random);
    else if (stays(node)) apply(image, step);
    else if (step.kind === "make") addNode(image, step);
  }
  return image;
}

function findDurable(steps: readonly DiskStep[], count: number): (index: number) => boolean {
  const durable = new Set<DiskStep>();
  const pending = new Map<number, { step: DiskStep; index: number }[]>();
  for (const [index, step] of steps.slice(0, count).entries()) {
    const node = nodeOf(step);
    const before = pending.get(node) ?? [];
    if (step.kind === "synced" || step.kind === "dropped") {
      if (step.kind === "synced") for (const each of before) if (each.index < step.before) durable.add(each.step);
      const left = before.filter((each) => each.index >= step.before);
      pending.set(node, left);
      continue;
    }
    const places = step.kind === "rename" ? new Set([node, step.toDirectory]) : [node];
    for (const place of places) {
      if (!pending.has(place)) pending.set(place, []);
      pending.get(place)!.push({ step, index });
    }
  }
  return (index) => durable.has(steps[index]);
}

/** What a step is done to: a file's bytes, or a directory's names. */
function nodeOf(step: DiskStep): number {
  return "directory" in step ? step.directory : step.node;
}

function tear(image: DiskImage, write: DiskStep & { kind: "write" }, stays: () => boolean, random: Random): void {
  const { node, position, bytes, length } = write;
  const end = position + length;
  // The size may be there without the bytes: they read as zeros.
  if (stays()) apply(image, { kind: "write", node, position: end, bytes: noBytes, length: 0 });
  // A large write loses runs of sectors; a choice for each would take long and leave nothing whole.
  const runSectors = length > 64 * sectorBytes ? 1 + random(1024) : 1;
  for (let at = position; at < end; ) {
    const next = Math.min(end, (Math.floor(at / sectorBytes) + runSectors) * sectorBytes);
    const part = bytes.subarray(at - position, next - position);
    if (stays()) apply(image, { kind: "write", node, position: at, bytes: part, length: next - at });
    at = next;
  }
}

function apply(image: DiskImage, step: DiskStep): void {
  switch (step.kind) {
    case "make":
      addNode(image, step);
      entriesOf(image, step.directory)?.set(step.name, step.node);
      return;
    case "rename": {
      const from = entriesOf(image, step.directory);
      if (from?.get(step.name) === step.node) from.delete(step.name);
      if (image.has(step.node)) entriesOf(image, step.toDirectory)?.set(step.toName, step.node);
      return;
    }
    case "remove":
      entriesOf(image, step.directory)?.delete(step.name);
      return;
    case "write":
      writeAt(image.get(step.node), step);
      return;
    case "cut": {
      const file = image.get(step.node);
      if (file === undefined || !("content" in file)) return;
      file.content = file.content.subarray(0, step.size);
      file.size = Math.min(file.size, step.size);
      return;
    }
    case "synced":
    case "dropped":
  }
}

function addNode(image: DiskImage, { node, isDirectory }: DiskStep & { kind: "make" }): void {
  if (!image.has(node)) image.set(node, isDirectory ? { entries: new Map() } : { content: noBytes, size: 0 });
}

function writeAt(file: DiskNode | undefined, { position, bytes, length }: DiskStep & { kind: "write" }): void {
  if (file === undefined || !("content" in file)) return;
  file.size = Math.max(file.size, position + length);
  const end = position + bytes.length;
  if (bytes.length > 0 && end > file.content.length) {
    const grown = Buffer.alloc(end);
    file.content.copy(grown);
    file.content = grown;
  }
  bytes.copy(file.content, position);
  if (end < file.content.length) file.content.fill(0, end, Math.min(position + length, file.content.length));
}

function entriesOf(image: DiskImage, directory: number): Map<string, number> | undefined {
  const node = image.get(directory);
  return node !== undefined && "entries" in node ? node.entries : undefined;
}

function copyImage(image: DiskImage): DiskImage {
  const copy: DiskImage = new Map();
  for (const [number, node] of image)
    copy.set(
      number,
      "entries" in node ? { entries: new Map(node.entries) } : { content: Buffer.from(node.content), size: node.size },
    );
  return copy;
}

/** Lays an image down in a new directory. */
export function writeImage(image: DiskImage, directory: string, node = 0): void {
  fs.mkdirSync(directory, { mode: 0o700 });
  for (const [name, number] of entriesOf(image, node)!) {
    const child = image.get(number)!;
    const at = path.join(directory, name);
    if ("entries" in child) writeImage(image, at, number);
    else {
      fs.writeFileSync(at, child.content, { mode: 0o600 });
      if (child.size > child.content.length) fs.truncateSync(at, child.size);
    }
  }
}

/** Reads what a directory holds. */
export function readImage(directory: string): DiskImage {
  const image: DiskImage = new Map();
  const visit = (at: string): number => {
    const number = image.size;
    if (fs.statSync(at).isDirectory()) {
      const entries = new Map<string, number>();
      image.set(number, { entries });
      for (const name of fs.readdirSync(at)) entries.set(name, visit(path.join(at, name)));
    } else {
      const content = fs.readFileSync(at);
      image.set(number, { content, size: content.length });
    }
    return number;
  };
  visit(directory);
  return image;
}

/** The nodes that can be reached from the root, by their paths below it. */
export function numberPaths(image: DiskImage): Map<string, number> {
  const numbers = new Map<string, number>();
  const visit = (number: number, at: string) => {
    numbers.set(at, number);
    for (const [name, child] of entriesOf(image, number) ?? []) visit(child, `${at}/${name}`);
  };
  visit(0, "");
  return numbers;
}

/** What can be reached from the root, by path: for comparing two images. */
export function listImage(image: DiskImage): Map<string, string> {
  const listed = new Map<string, string>();
  for (const [at, number] of numberPaths(image)) {
    const node = image.get(number)!;
    listed.set(at, "entries" in node ? "directory" : `${node.size} ${withoutZeros(node.content).toString("latin1")}`);
  }
  return listed;
}

/** Without the zeros at its end. */
export function withoutZeros(bytes: Buffer): Buffer {
  if (bytes.length > 4096 && bytes.equals(Buffer.alloc(bytes.length))) return bytes.subarray(0, 0);
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  return bytes.subarray(0, end);
}
