/**
 * Lays what a journal changed over another tree: a deployment that follows a name, whose name means a new tree now.
 *
 * - (X1) What differs is what sealing the journal would publish (seal-union.ts), and it is laid over the new tree as an
 *   overlay is: a changed file hides the new tree's file of its name whole, a whiteout whatever is there now, a moved
 *   directory is as it was. Identities are new: it is for a guest that boots anew.
 * - (X2) The new journal is complete and on stable storage before it takes the old one's place; at any moment one of the
 *   two is there under the journal's name, or beside it (`completeRestack`).
 */
import { existsSync } from "node:fs";
import fs from "node:fs/promises";
import path from "node:path";
import { FileSystemError } from "../../cowfs/errors.ts";
import { runWithFaults } from "../../cowfs/fault.ts";
import { type FileId, FileType, type Name } from "../../cowfs/file-system.ts";
import { readExtendedAttributes } from "../../cowfs/union/extended-attributes.ts";
import { readLink } from "../../cowfs/union/reading.ts";
import type { ResolveLayer } from "../../cowfs/union/stack.ts";
import { openUnion, type UnionFileSystem } from "../../cowfs/union/union.ts";
import { type PlannedDirectory, planSeal } from "../../xenostore/publish/seal-union.ts";

export interface Restacking {
  /** The journal's directory; nobody has it open. */
  readonly journal: string;
  /** The layer below the journal, and the tree that it is to mean from now on. */
  readonly url: string;
  readonly tree: string;
  /** Opens what the journal lies over now, and what it is to lie over: see `openUnion`. */
  readonly resolve: ResolveLayer;
  readonly signal: AbortSignal;
}

const root = { uid: 0, gid: 0, groups: [] };
const pieceBytes = 1024 * 1024;
const nothing = Buffer.alloc(0);

/** Rejects with what opening either side, or a full disk, rejects with; the journal is then as it was. */
export async function restackJournal({ journal, url, tree, resolve, signal }: Restacking): Promise<void> {
  await completeRestack(journal);
  const [next, before] = [`${journal}.next`, `${journal}.before`];
  await fs.rm(next, { recursive: true, force: true });
  try {
    const old = await openUnion({ journal, resolve, signal });
    try {
      const over: ResolveLayer = (layer, pinned, given) =>
        resolve(layer, pinned ?? (layer === url ? tree : undefined), given);
      const fresh = await openUnion({ journal: next, base: url, resolve: over, signal });
      try {
        const plan = await planSeal(old.core, old.rootId, signal);
        await new Restack(old, fresh, signal).lay(plan.root, fresh.rootId);
        await fresh.sync();
      } finally {
        await fresh.close();
      }
    } finally {
      await old.close();
    }
  } catch (error) {
    await fs.rm(next, { recursive: true, force: true });
    throw error;
  }
  await fs.rename(journal, before);
  await fs.rename(next, journal);
  await syncDirectory(path.dirname(journal));
  await fs.rm(before, { recursive: true, force: true });
}

/** (X2) Ends a restacking that was killed: with the old journal, or the new one. Call it before the journal is opened. */
export async function completeRestack(journal: string): Promise<void> {
  const before = `${journal}.before`;
  if (!existsSync(journal) && existsSync(before)) await fs.rename(before, journal);
  for (const rest of [before, `${journal}.next`]) await fs.rm(rest, { recursive: true, force: true });
}

class Restack {
  readonly #from: UnionFileSystem;
  readonly #to: UnionFileSystem;
  readonly #signal: AbortSignal;
  /** By their old ids: names of one file become names of one file. */
  readonly #made = new Map<FileId, FileId>();

  constructor(from: UnionFileSystem, to: UnionFileSystem, signal: AbortSignal) {
    this.#from = from;
    this.#to = to;
    this.#signal = signal;
  }

  async lay(planned: PlannedDirectory, into: FileId): Promise<void> {
    if (planned.opaque) await this.#empty(into);
    for (const [name, child] of planned.children) {
      this.#signal.throwIfAborted();
      if (child === "whiteout") await this.#remove(into, name);
      else if (typeof child === "number") await this.#layFile(child, into, name);
      else await this.lay(child, await this.#enter(into, name, child));
    }
    await this.#copyAttributes(planned.id, into);
  }

  /** The directory under a name, made where something else or nothing is there. */
  async #enter(into: FileId, name: Name, { opaque }: PlannedDirectory): Promise<FileId> {
    const found = await this.#find(into, name);
    if (found !== undefined && !opaque && this.#isDirectory(found)) return found;
    await this.#remove(into, name);
    return await this.#change(() => this.#to.createDirectory(root, into, name, { mode: 0o700 }));
  }

  async #layFile(id: FileId, into: FileId, name: Name): Promise<void> {
    await this.#remove(into, name);
    const made = this.#made.get(id);
    if (made !== undefined) {
      await this.#change(() => this.#to.link(root, made, into, name));
      return;
    }
    const { mode, size, deviceMajor, deviceMinor } = this.#from.getAttributes(id);
    const type = mode & FileType.mask;
    const change = { mode: mode & 0o7777 };
    const fresh = await this.#change(() => {
      if (type === FileType.regular) return this.#to.createFile(root, into, name, change, { kind: "guarded" });
      if (type === FileType.symlink)
        return this.#to.createSymlink(root, into, name, readLink(this.#from.core, id), change);
      return this.#to.createSpecial(root, into, name, type, deviceMajor, deviceMinor, change);
    });
    this.#made.set(id, fresh);
    if (type === FileType.regular) await this.#copyContent(id, fresh, size);
    await this.#copyAttributes(id, fresh);
  }

  /** Zeros are left out: a hole stays one, and what is written by size 0 to size is one. */
  async #copyContent(id: FileId, fresh: FileId, size: number): Promise<void> {
    const piece = Buffer.alloc(pieceBytes);
    for (let at = 0; at < size; at += pieceBytes) {
      const length = Math.min(pieceBytes, size - at);
      await runWithFaults(() => this.#from.read(root, id, at, length, piece, 0), this.#signal);
      const bytes = piece.subarray(0, length);
      if (!bytes.equals(zeros.subarray(0, length))) await this.#change(() => this.#to.write(root, fresh, at, bytes));
    }
    await this.#change(() => this.#to.setAttributes(root, fresh, { size }));
  }

  /** Owner first: a change of owner takes set-id bits away. */
  async #copyAttributes(id: FileId, fresh: FileId): Promise<void> {
    const { mode, uid, gid, modified } = this.#from.getAttributes(id);
    const attributes = readExtendedAttributes(this.#from.core, id);
    await this.#change(() => this.#to.setAttributes(root, fresh, { uid, gid }));
    for (const [name, value] of attributes)
      await this.#change(() => this.#to.setExtendedAttribute(root, fresh, name, value, "any"));
    const isLink = (mode & FileType.mask) === FileType.symlink;
    await this.#change(() =>
      this.#to.setAttributes(root, fresh, isLink ? { modified } : { mode: mode & 0o7777, modified }),
    );
  }

  async #remove(from: FileId, name: Name): Promise<void> {
    const found = await this.#find(from, name);
    if (found === undefined) return;
    if (!this.#isDirectory(found)) {
      await this.#change(() => this.#to.removeFile(root, from, name));
      return;
    }
    await this.#empty(found);
    await this.#change(() => this.#to.removeDirectory(root, from, name));
  }

  async #empty(directory: FileId): Promise<void> {
    for (;;) {
      const entries = await runWithFaults(() => this.#to.list(root, directory, 0, 1000), this.#signal);
      if (entries.length === 0) return;
      for (const { name } of entries) await this.#remove(directory, name);
    }
  }

  #isDirectory(id: FileId): boolean {
    return (this.#to.getAttributes(id).mode & FileType.mask) === FileType.directory;
  }

  #find(directory: FileId, name: Name): Promise<FileId | undefined> {
    return runWithFaults(() => {
      try {
        return this.#to.lookup(root, directory, name);
      } catch (error) {
        if (error instanceof FileSystemError && error.code === "ENOENT") return undefined;
        throw error;
      }
    }, this.#signal);
  }

  async #change<T>(run: () => T): Promise<T> {
    return await runWithFaults(() => {
      let result: T;
      this.#to.transact(undefined, () => {
        result = run();
        return nothing;
      });
      this.#to.flush();
      return result!;
    }, this.#signal);
  }
}

const zeros = Buffer.alloc(pieceBytes);

async function syncDirectory(directory: string): Promise<void> {
  await using handle = await fs.open(directory, "r");
  await handle.sync();
}
