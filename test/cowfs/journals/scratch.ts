/** Journals for tests: made in scratch directories, copied as a crash leaves them, and shown as plain data. */
import { randomUUID } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { type FileId, FileType } from "../../../cowfs/file-system.ts";
import type { Disk } from "../../../cowfs/journals/disk.ts";
import { realDisk } from "../../../cowfs/journals/disk.ts";
import type { Journal } from "../../../cowfs/journals/journal.ts";
import { listLogFiles } from "../../../cowfs/journals/log-file.ts";
import type { InodeFields, JournalState } from "../../../cowfs/journals/state.ts";
import { makeFastDirectory } from "../fast-directory.ts";

interface Teardown {
  teardown(clean: () => void): void;
}

export function scratchDirectory(t: Teardown): string {
  const directory = makeFastDirectory();
  t.teardown(() => fs.rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** What a crash of the process would leave now: everything that the operating system has. */
export function copyJournal(t: Teardown, journal: string): string {
  const copy = path.join(scratchDirectory(t), "copy");
  fs.cpSync(journal, copy, { recursive: true });
  return copy;
}

const noTime = { seconds: 0, nanoseconds: 0 };

export function inodeFields(id: FileId, change: Partial<InodeFields> = {}): InodeFields {
  return {
    id,
    mode: FileType.regular | 0o644,
    links: 1,
    uid: 0,
    gid: 0,
    size: 0,
    deviceMajor: 0,
    deviceMinor: 0,
    accessed: noTime,
    modified: noTime,
    changed: noTime,
    parent: 0,
    target: "",
    verifier: undefined,
    ...change,
  };
}

export const rootFields = inodeFields(2 ** 40, { mode: FileType.directory | 0o755, parent: 2 ** 40 });

const nothing = Buffer.alloc(0);

/** A file with content and a name in the root, as one transaction with a reply. */
export function addFile(journal: Journal, name: string, content: string): FileId {
  const id = journal.allocateInode();
  const data = Buffer.from(content, "latin1");
  const { address, checksum } = journal.appendData(data);
  journal.transact(`key of ${name}`, () => {
    if (!journal.state.inodes.has(rootFields.id)) journal.apply({ kind: "put", inode: rootFields });
    journal.apply({ kind: "put", inode: inodeFields(id) });
    journal.apply({ kind: "lay", id, extent: { offset: 0, length: data.length, address }, checksum });
    journal.apply({ kind: "wrote", id, size: data.length, mode: FileType.regular | 0o600, time: noTime });
    journal.apply({ kind: "enter", directory: rootFields.id, name, id, cookie: id });
    return Buffer.from(`reply of ${name}`);
  });
  return id;
}

export function change(journal: Journal, run: () => void): void {
  journal.transact(undefined, () => {
    run();
    return nothing;
  });
}

export function contentOf(journal: Journal, name: string): string | undefined {
  const entry = journal.state.inodes.get(rootFields.id)?.entries.get(name);
  if (entry === undefined) return undefined;
  const { size, extents } = journal.state.get(entry.id);
  const bytes = Buffer.alloc(size);
  for (const { offset, length, address } of extents) journal.readData(address, length, bytes, offset);
  return bytes.toString("latin1");
}

/** All of a journal's state, for comparing. */
export function describeState(state: JournalState): unknown {
  const inodes = [...state.inodes.values()].map((inode) => ({
    ...inode,
    verifier: inode.verifier?.toString(16),
    extents: structuredClone(inode.extents),
    large: inode.large && [inode.large.size.toString(), structuredClone([...inode.large.regions])],
    entries: [[...inode.entries.after(0)].map((entry) => ({ ...entry })), inode.entries.nextCookie],
    extendedAttributes: [...(inode.extendedAttributes ?? [])].map(([name, value]) => [name, value?.toString("hex")]),
  }));
  const replies = [...state.replies].map(([key, reply]) => [key, reply.toString("hex")]);
  const mountTimes = [...state.mountTimes];
  return { inodes, replies, slots: [...state.slots.values()], mountTimes, next: [state.nextInode, state.nextSlot] };
}

/** The real disk, as `change` makes it. */
export function makeDisk(change: Partial<Disk>): Disk {
  return { ...realDisk, ...change };
}

export function diskError(code: string): Error {
  return Object.assign(new Error(`${code}: the disk refuses`), { code });
}

export const freshName = () => randomUUID().slice(0, 8);

/** The log file that is appended to. */
export function newestLog(journal: string): string {
  return listLogFiles(journal).at(-1)!.path;
}

/** The end of each record in the newest log file, from the header on: `[64, ...]`. */
export function findRecordEnds(journal: string): number[] {
  const log = fs.readFileSync(newestLog(journal));
  const ends = [64];
  for (;;) {
    const at = ends.at(-1)!;
    const length = at + 4 <= log.length ? log.readUInt32LE(at) : 0;
    if (length === 0) return ends;
    ends.push(at + 20 + length);
  }
}
