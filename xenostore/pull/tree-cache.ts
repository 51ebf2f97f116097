/**
 * The trees that a process has open: all who open one tree share it, its memory and its page cache.
 */
import { MemoryChunks } from "../../cowfs/trees/memory-chunks.ts";
import type { StoredTree } from "../refs/ref.ts";
import type { ObjectStore } from "../stores/object-store.ts";
import { borrowTree, type Lender } from "./borrow-tree.ts";
import { CacheRoom } from "./cache-room.ts";
import { FetchLane } from "./fetch-chunks.ts";
import { type OpenedTree, openStoredTree } from "./open-stored-tree.ts";
import type { RetryPolicy } from "./retry.ts";

export interface TreeCacheOptions {
  readonly store: ObjectStore;
  /** Of a folder per tree. */
  readonly directory: string;
  /** What the folders may hold in all; without it, as much as the disk does. */
  readonly maxBytes?: number;
  readonly retries?: RetryPolicy;
  /** The process that owns the trees; without it this one does. Everything that keeps the cache in bounds is the owner's. */
  readonly lender?: Lender;
}

/** What came into the cache in this life of the process, in bytes; of the store's as they came, compressed. */
export interface PullCounters {
  readonly demandedBytes: number;
  readonly aheadBytes: number;
  readonly copiedBytes: number;
}

/** Another process of the same XenoServer may have a tree open for a moment: its turn is waited for. */
const lockPatienceMs = 10_000;

interface Shared {
  readonly opening: Promise<OpenedTree>;
  users: number;
}

export class TreeCache {
  readonly #options: TreeCacheOptions;
  readonly #lane = new FetchLane();
  readonly #memory = new MemoryChunks();
  readonly #room: CacheRoom | undefined;
  readonly #shared = new Map<string, Shared>();
  readonly #closing = new Map<string, Promise<void>>();
  #copiedBytes = 0;

  constructor(options: TreeCacheOptions) {
    this.#options = options;
    const { directory, maxBytes } = options;
    const isOpenHere = (tree: string) => this.#shared.has(tree) || this.#closing.has(tree);
    this.#room = maxBytes === undefined ? undefined : new CacheRoom(directory, maxBytes, isOpenHere);
  }

  get counters(): PullCounters {
    const { demandedBytes, aheadBytes } = this.#lane;
    return { demandedBytes, aheadBytes, copiedBytes: this.#copiedBytes };
  }

  /** Opens a tree, or joins those who have it open; it is closed when the last of them closes. */
  async open({ tree, layout }: StoredTree): Promise<OpenedTree> {
    while (this.#closing.has(tree)) await this.#closing.get(tree);
    let shared = this.#shared.get(tree);
    if (!shared) {
      shared = { opening: this.#open({ tree, layout }), users: 0 };
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

  #open(stored: StoredTree): Promise<OpenedTree> {
    const { store, directory, retries, lender } = this.#options;
    if (lender !== undefined)
      return borrowTree(store, stored, directory, lender, { memory: this.#memory, retries, lockPatienceMs });
    return openStoredTree(store, stored, directory, {
      lane: this.#lane,
      memory: this.#memory,
      takeRoom: this.#room && ((bytes) => this.#room!.take(bytes)),
      onCopied: (bytes) => {
        this.#copiedBytes += bytes;
      },
      retries,
      lockPatienceMs,
    });
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
