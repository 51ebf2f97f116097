/**
 * The trees that a process has open: all who open one tree share it, its memory and its page cache.
 */
import type { StoredTree } from "../refs/ref.ts";
import type { ObjectStore } from "../stores/object-store.ts";
import { type OpenedTree, openStoredTree } from "./open-stored-tree.ts";

interface Shared {
  readonly opening: Promise<OpenedTree>;
  users: number;
}

export class TreeCache {
  readonly #store: ObjectStore;
  readonly #directory: string;
  readonly #shared = new Map<string, Shared>();
  readonly #closing = new Map<string, Promise<void>>();

  constructor(store: ObjectStore, directory: string) {
    this.#store = store;
    this.#directory = directory;
  }

  /** Opens a tree, or joins those who have it open; it is closed when the last of them closes. */
  async open({ tree, layout }: StoredTree): Promise<OpenedTree> {
    while (this.#closing.has(tree)) await this.#closing.get(tree);
    let shared = this.#shared.get(tree);
    if (!shared) {
      shared = { opening: openStoredTree(this.#store, tree, layout, this.#directory), users: 0 };
      this.#shared.set(tree, shared);
    }
    shared.users++;
    const release = () => this.#release(tree, shared);
    const opened = await shared.opening.catch(async (error) => {
      await release();
      throw error;
    });
    let isClosed = false;
    return {
      ...opened,
      close: async () => {
        if (isClosed) return;
        isClosed = true;
        await release();
      },
    };
  }

  async #release(tree: string, shared: Shared): Promise<void> {
    if (--shared.users > 0) return;
    this.#shared.delete(tree);
    const closing = shared.opening.then(
      (opened) => opened.close(),
      () => {},
    );
    this.#closing.set(tree, closing);
    await closing.finally(() => this.#closing.delete(tree));
  }
}
