/**
 * The inodes that the kernel knows, counted as it counts them: one for each entry it was given, until it forgets them.
 *
 * Each is retained in the file system, so that a file that is unlinked while it is open, mapped or someone's working
 * directory can still be read and written: the kernel forgets an inode only when none of these hold it. Bounded by the
 * kernel's own inode cache, which shrinks under memory pressure.
 *
 * Node numbers: 1 is the root, every other inode is its FileId + 2 (0 means "none" and 1 is taken). A FileId is never
 * used again, so no generation numbers are needed.
 */
import type { FileId, FileSystem } from "../file-system.ts";
import { rootNode } from "./protocol.ts";

export class KnownNodes {
  readonly #fileSystem: FileSystem;
  readonly #counts = new Map<FileId, number>();
  /** Which of them are directories. */
  readonly directories = new Set<FileId>();

  constructor(fileSystem: FileSystem) {
    this.#fileSystem = fileSystem;
  }

  get size(): number {
    return this.#counts.size;
  }

  nodeOf(id: FileId): number {
    return id === this.#fileSystem.rootId ? rootNode : id + 2;
  }

  idOf(node: number): FileId {
    return node === rootNode ? this.#fileSystem.rootId : node - 2;
  }

  remember(id: FileId, isDirectory: boolean): void {
    if (isDirectory) this.directories.add(id);
    const count = this.#counts.get(id) ?? 0;
    if (count === 0) this.#fileSystem.retain(id);
    this.#counts.set(id, count + 1);
  }

  forget(node: number, times: number): void {
    const id = this.idOf(node);
    const count = this.#counts.get(id);
    if (count === undefined) return;
    if (count > times) {
      this.#counts.set(id, count - times);
      return;
    }
    this.#counts.delete(id);
    this.directories.delete(id);
    this.#fileSystem.release(id);
  }

  forgetAll(): void {
    for (const id of this.#counts.keys()) this.#fileSystem.release(id);
    this.#counts.clear();
    this.directories.clear();
  }
}
