/**
 * What a process does for those that borrow its trees: it opens a tree when something of it is first asked for, and keeps it for a
 * while. What they have open stays in the cache by their own locks (C1), so that nothing here needs to be remembered over a restart.
 */
import type { StoredTree } from "../refs/ref.ts";
import type { Lender, LentAhead } from "./borrow-tree.ts";
import type { OpenedTree } from "./open-stored-tree.ts";

export interface LendingOptions {
  open(stored: StoredTree): Promise<OpenedTree>;
  pace?(bytes: number, signal: AbortSignal): Promise<void>;
  /** How long a tree stays open that nobody asks for, in ms. Default 60,000: a guest reads in bursts. */
  readonly idleMs?: number;
}

interface Lent {
  readonly opening: Promise<OpenedTree>;
  users: number;
  timer: NodeJS.Timeout | undefined;
}

export class TreeLending implements Lender {
  readonly #options: LendingOptions;
  readonly #lent = new Map<string, Lent>();

  constructor(options: LendingOptions) {
    this.#options = options;
  }

  bring(stored: StoredTree, chunks: readonly number[], signal: AbortSignal) {
    return this.#use(stored, ({ tree, bring }) => bring(withinTree(tree, chunks), signal));
  }

  async bringAhead(stored: StoredTree, { chunks, isPaced, signal }: LentAhead): Promise<void> {
    const pace = isPaced ? this.#options.pace : undefined;
    await this.#use(stored, ({ tree, bringAhead }) =>
      bringAhead({ chunks: chunks && withinTree(tree, chunks), pace, signal }),
    );
  }

  async close(): Promise<void> {
    await Promise.all([...this.#lent].map(([tree, lent]) => this.#giveUp(tree, lent)));
  }

  async #use<T>(stored: StoredTree, work: (opened: OpenedTree) => Promise<T>): Promise<T> {
    const { tree } = stored;
    let lent = this.#lent.get(tree);
    if (lent === undefined) {
      lent = { opening: this.#options.open(stored), users: 0, timer: undefined };
      this.#lent.set(tree, lent);
    }
    const used = lent;
    clearTimeout(used.timer);
    used.users++;
    try {
      return await work(await used.opening);
    } catch (error) {
      // One that could not be opened is opened anew by who asks next.
      await used.opening.catch(() => this.#lent.get(tree) === used && this.#lent.delete(tree));
      throw error;
    } finally {
      if (--used.users === 0 && this.#lent.get(tree) === used)
        used.timer = setTimeout(() => void this.#giveUp(tree, used), this.#options.idleMs ?? 60_000).unref();
    }
  }

  async #giveUp(tree: string, lent: Lent): Promise<void> {
    clearTimeout(lent.timer);
    this.#lent.delete(tree);
    await lent.opening.then(
      (opened) => opened.close(),
      () => {},
    );
  }
}

/** Who asks is another process of ours, perhaps of another version. */
function withinTree({ chunkCount }: { chunkCount: number }, chunks: readonly number[]): number[] {
  return chunks.filter((chunk) => Number.isInteger(chunk) && chunk >= 0 && chunk < chunkCount);
}
