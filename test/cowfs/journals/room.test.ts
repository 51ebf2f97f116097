/** Room: quota and full disks. At the limit nothing is lost, what frees is possible, and garbage is nobody's to keep. */
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import test from "ava";
import type { FileSystemError } from "../../../cowfs/errors.ts";
import { runWithFaults } from "../../../cowfs/fault.ts";
import type { CheckpointLimits } from "../../../cowfs/journals/checkpoint-limits.ts";
import { countOwnBytes } from "../../../cowfs/journals/extents.ts";
import { Journal } from "../../../cowfs/journals/journal.ts";
import { addFile, change, contentOf, inodeFields, rootFields, scratchDirectory } from "./scratch.ts";

const quotaBytes = 16 * 1024 * 1024;
const blockBytes = 64 * 1024;
const signal = AbortSignal.timeout(240_000);

function diskUse(directory: string): number {
  const files = fs.readdirSync(directory, { withFileTypes: true, recursive: true }).filter((entry) => entry.isFile());
  return files.reduce((sum, { parentPath, name }) => sum + sizeOf(path.join(parentPath, name)), 0);
}

/** 0 for a file that a round has just removed. */
function sizeOf(file: string): number {
  return fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}

/** Runs a change as a server does: waits where it is told to. Its error's code, or undefined. */
async function attempt(run: () => void): Promise<string | undefined> {
  try {
    await runWithFaults(run, signal);
    return undefined;
  } catch (error) {
    return (error as FileSystemError).code;
  }
}

function add(journal: Journal, name: string, content: string): number {
  journal.room.require(0, 1);
  const data = Buffer.from(content);
  const { address, checksum } = journal.room.append(data, 0);
  const id = journal.allocateInode();
  change(journal, () => {
    if (!journal.state.inodes.has(rootFields.id)) journal.apply({ kind: "put", inode: rootFields });
    journal.apply({ kind: "put", inode: inodeFields(id, { size: data.length }) });
    journal.apply({ kind: "lay", id, extent: { offset: 0, length: data.length, address }, checksum });
    journal.apply({ kind: "enter", directory: rootFields.id, name, id, cookie: id });
  });
  journal.flush();
  return id;
}

function overwrite(journal: Journal, id: number, offset: number, bytes: Buffer): void {
  const replaced = countOwnBytes(journal.state.get(id).extents, offset, offset + bytes.length);
  const { address, checksum } = journal.room.append(bytes, replaced);
  const extent = { offset, length: bytes.length, address };
  change(journal, () => journal.apply({ kind: "lay", id, extent, checksum }));
  journal.flush();
}

function remove(journal: Journal, name: string): void {
  const { id } = journal.state.get(rootFields.id).entries.get(name)!;
  change(journal, () => {
    journal.apply({ kind: "remove", directory: rootFields.id, name });
    journal.apply({ kind: "drop", id });
  });
}

/** Adds files until there is no room for another; returns their names. */
async function fill(journal: Journal, prefix: string): Promise<string[]> {
  const names: string[] = [];
  for (;;) {
    const name = `${prefix} ${names.length}`;
    const code = await attempt(() => add(journal, name, name.padEnd(blockBytes)));
    if (code === "ENOSPC") return names;
    if (code !== undefined) throw new Error(code);
    names.push(name);
  }
}

function open(t: Parameters<typeof scratchDirectory>[0], limits: Partial<CheckpointLimits> = {}) {
  const directory = path.join(scratchDirectory(t), "journal");
  return { directory, journal: Journal.open(directory, undefined, { quotaBytes, ...limits }) };
}

test("overwriting one block for ever neither passes the quota nor is refused, beside files that nearly fill it", async (t) => {
  const { directory, journal } = open(t);
  addFile(journal, "block", "x".repeat(blockBytes));
  for (let index = 0; index < 80; index++) addFile(journal, `kept ${index}`, `${index}`.padEnd(blockBytes));
  const { id } = journal.state.get(rootFields.id).entries.get("block")!;
  let most = 0;
  for (let written = 0; written < 800; written++) {
    t.is(await attempt(() => overwrite(journal, id, 0, Buffer.alloc(blockBytes, written))), undefined);
    most = Math.max(most, diskUse(directory));
  }
  t.true(most <= quotaBytes, `${most} bytes`);
  t.is(contentOf(journal, "kept 79")?.trimEnd(), "79");
  await journal.close();
  const again = Journal.open(directory, undefined, { quotaBytes });
  t.is(contentOf(again, "kept 79")?.trimEnd(), "79");
  await again.close();
  t.true(diskUse(directory) <= quotaBytes);
});

test("a journal that is full refuses what grows, takes what frees, and fills again; nothing of it is ever lost", async (t) => {
  const { directory, journal } = open(t);
  const first = await fill(journal, "first");
  const { totalBytes, freeBytes, availableBytes } = journal.room.statistics;
  t.is(totalBytes, quotaBytes);
  t.is(availableBytes, freeBytes);
  t.true(freeBytes < blockBytes + 1024 * 1024, `${freeBytes} free`);
  t.true(first.length * blockBytes > quotaBytes / 2, `${first.length} files`);
  t.true(diskUse(directory) <= quotaBytes);
  // Overwriting takes no more than was there.
  const { id } = journal.state.get(rootFields.id).entries.get(first[0])!;
  for (let index = 0; index < 60; index++)
    t.is(await attempt(() => overwrite(journal, id, 0, Buffer.alloc(blockBytes, 7))), undefined);
  t.true(diskUse(directory) <= quotaBytes);
  // As many small changes as it takes to fold the log many times, all of which must go through.
  for (let round = 0; round < 2000; round++)
    change(journal, () => journal.apply({ kind: "put", inode: inodeFields(id, { size: blockBytes, uid: round }) }));
  for (const name of first.slice(first.length / 2)) t.is(await attempt(() => remove(journal, name)), undefined, name);
  for (const name of first.slice(1, 5)) {
    const { id } = journal.state.get(rootFields.id).entries.get(name)!;
    t.is(await attempt(() => change(journal, () => journal.apply({ kind: "cut", id, size: 100 }))), undefined);
  }
  const second = await fill(journal, "second");
  t.true(second.length >= first.length / 2 - 32, `${second.length} of ${first.length} again`);
  t.true(diskUse(directory) <= quotaBytes);
  const check = (of: Journal) => {
    for (const name of [...first.slice(5, first.length / 2), ...second]) t.is(contentOf(of, name)?.trimEnd(), name);
  };
  check(journal);
  await journal.close();
  const again = Journal.open(directory, undefined, { quotaBytes });
  check(again);
  await again.close();
  t.log(`${first.length} files of 64 KiB in 16 MiB; ${second.length} again after half were removed`);
});

test("what pins keep is billed, and comes back when they are dropped", async (t) => {
  const { directory, journal } = open(t);
  const id = addFile(journal, "file", "x");
  const writeAll = async (value: number) => {
    for (let block = 0; block < 90; block++) {
      const code = await attempt(() => overwrite(journal, id, block * blockBytes, Buffer.alloc(blockBytes, value)));
      if (code !== undefined) return code;
    }
    return undefined;
  };
  t.is(await writeAll(1), undefined);
  await journal.snapshots.take("one");
  t.is(await writeAll(2), undefined);
  await journal.snapshots.take("two");
  t.is(await writeAll(3), "ENOSPC");
  t.true(diskUse(directory) <= quotaBytes);
  t.true(journal.room.statistics.freeBytes < 1024 * 1024);
  await journal.snapshots.drop("one");
  t.is(await writeAll(4), undefined);
  await journal.snapshots.drop("two");
  t.is(await writeAll(5), undefined);
  t.true(diskUse(directory) <= quotaBytes);
  await journal.close();
});

test("a journal has so many files and no more, and a quota that it cannot work with is refused", async (t) => {
  const { directory, journal } = open(t, { quotaFiles: 3 });
  addFile(journal, "a", "x");
  t.is(await attempt(() => journal.room.require(0, 1)), undefined);
  addFile(journal, "b", "x");
  t.is(await attempt(() => journal.room.require(0, 1)), "ENOSPC");
  t.deepEqual([journal.room.statistics.totalFiles, journal.room.statistics.freeFiles], [3, 0]);
  remove(journal, "a");
  t.is(await attempt(() => journal.room.require(0, 1)), undefined);
  await journal.close();
  t.throws(() => Journal.open(directory, undefined, { quotaBytes: 1024 * 1024 }), { code: "quota-too-small" });
});

test("who outruns a round waits for its end", async (t) => {
  const limits = { quotaBytes: Number.POSITIVE_INFINITY, fullSegmentBytes: 256 * 1024, logBytes: 2 ** 40 };
  const { directory, journal } = open(t, limits);
  const id = addFile(journal, "file", "x");
  let most = 0;
  for (let written = 0; written < 400; written++) {
    const code = await attempt(() => overwrite(journal, id, 0, Buffer.alloc(blockBytes, written)));
    t.is(code, undefined);
    most = Math.max(most, diskUse(path.join(directory, "segments")));
  }
  // (G4) and (R4): two segments and what is live four times, twice, and four segments.
  t.true(most <= 2 * (2 * limits.fullSegmentBytes + 5 * blockBytes) + 5 * limits.fullSegmentBytes, `${most} bytes`);
  t.is(journal.checkpointFailure, undefined);
  await journal.close();
});

test("on a disk that others filled, what frees is possible, and by the reserve it helps", async (t) => {
  const mountPoint = scratchDirectory(t);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=48m", "tmpfs", mountPoint], { stdio: "ignore" });
  } catch {
    t.log("needs root: not run");
    t.pass();
    return;
  }
  t.teardown(() => execFileSync("umount", ["--lazy", mountPoint]));
  const directory = path.join(mountPoint, "journal");
  const limits = { fullSegmentBytes: 2 * 1024 * 1024 };
  const journal = Journal.open(directory, undefined, limits);
  const names: string[] = [];
  for (let index = 0; index < 300; index++) {
    names.push(`file ${index}`);
    t.is(await attempt(() => add(journal, `file ${index}`, `file ${index}`.padEnd(blockBytes))), undefined);
  }
  const deadline = Date.now() + 60_000;
  while (!fs.existsSync(path.join(directory, "reserve")) && Date.now() < deadline) await new Promise(setImmediate);
  await journal.room.keepReserve();
  const neighbour = fs.openSync(path.join(mountPoint, "neighbour"), "w");
  t.throws(() => {
    for (;;) fs.writeSync(neighbour, Buffer.alloc(4096));
  });
  names.push(...(await fill(journal, "more")));
  t.true(names.length < 330, `${names.length} files`);
  for (let index = 0; index < 200; index++) t.is(await attempt(() => remove(journal, `file ${index}`)), undefined);
  // What was removed is free again, for this journal and without help from outside.
  const more = await fill(journal, "again");
  t.true(more.length > 100, `${more.length} files; the last round: ${journal.checkpointFailure ?? "no failure"}`);
  const kept = [...names.slice(200), ...more];
  for (const name of kept) t.is(contentOf(journal, name)?.trimEnd(), name);
  await journal.close();
  const again = Journal.open(directory, undefined, limits);
  for (const name of kept) t.is(contentOf(again, name)?.trimEnd(), name);
  await again.close();
  fs.closeSync(neighbour);
});
