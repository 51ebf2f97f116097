/**
 * The `.mount` of each directory that was looked at: where it is, the journal's or a layer's, what it says, and which directories
 * a change of its bytes concerns.
 */
import type { FileId, Name } from "../file-system.ts";
import { hidden } from "../journals/entries.ts";
import type { JournalInode } from "../journals/state.ts";
import { whiteout } from "../layers/layer.ts";
import type { UnionCore } from "./core.ts";
import { makeFileId, rootId, slotOf } from "./file-ids.ts";
import { maxMountFileBytes, mountFileName } from "./mount-file.ts";
import { type MountText, readMountText } from "./mounts.ts";
import { isRegular } from "./permissions.ts";
import { readExtents } from "./reading.ts";
import type { Branch } from "./stack.ts";

export class HeldMountFiles {
  readonly #core: UnionCore;
  readonly #directories = new Map<FileId, Set<FileId>>();

  constructor(core: UnionCore) {
    this.#core = core;
  }

  /** The directories whose layers were read from a file. */
  directoriesOf(file: FileId): Iterable<FileId> {
    return this.#directories.get(file) ?? [];
  }

  hold(file: FileId, directory: FileId): void {
    const holding = this.#directories.get(file);
    if (holding === undefined) this.#directories.set(file, new Set([directory]));
    else holding.add(directory);
  }

  /** What a directory's own says, or undefined where it has none. `own`: what the layers hold at its place. */
  read(directory: FileId, parent: FileId, own: readonly Branch[]): MountText | undefined {
    const { inodes } = this.#core.journal.state;
    const id = this.#find(directory, own);
    if (id === undefined) return undefined;
    this.hold(id, directory);
    const inode = inodes.get(id);
    // What a client wrote, or put where it is, is the journal's; chmod of a layer's file does not make it that.
    const isEntered = inodes.get(directory)?.entries.get(mountFileName) !== undefined;
    const isOwn = isEntered || (inode !== undefined && !this.#core.hasLayerContent(inode));
    const text = inode === undefined ? this.#readLowerText(id) : this.#readOwnText(inode);
    if (text === undefined) return undefined;
    return { text, slot: isOwn ? 0 : slotOf(id), path: this.#pathOf(directory, parent) };
  }

  #find(directory: FileId, own: readonly Branch[]): FileId | undefined {
    const entry = this.#core.journal.state.inodes.get(directory)?.entries.get(mountFileName);
    if (entry !== undefined) return entry.id === hidden ? undefined : entry.id;
    for (const { slot, tree, inode } of own) {
      const found = tree.find(inode, mountFileName);
      if (found === whiteout) return undefined;
      if (found >= 0) return makeFileId(slot, found);
    }
    return undefined;
  }

  #readLowerText(id: FileId): string | undefined {
    const { tree, inode } = this.#core.stack.locate(id);
    return isRegular(tree.mode(inode)) ? readMountText(tree, inode) : undefined;
  }

  #readOwnText(inode: JournalInode): string | undefined {
    if (!isRegular(inode.mode)) return undefined;
    const text = Buffer.alloc(Math.min(inode.size, maxMountFileBytes + 1));
    readExtents(this.#core, inode, 0, text.length, text, 0);
    return text.toString("latin1");
  }

  /** The path of a directory's `.mount`, for messages. The directory itself is just being opened: its parent is given. */
  #pathOf(directory: FileId, parent: FileId): string {
    const names: Name[] = [mountFileName];
    try {
      for (let at = directory; at !== rootId; ) {
        const above = this.#core.find(at)?.parent ?? (at === directory ? parent : this.#core.parent(at));
        names.push(this.#core.nameIn(above, at));
        at = above;
      }
    } catch {
      return `${mountFileName} of directory ${directory}`;
    }
    return `/${names.reverse().join("/")}`;
  }
}
