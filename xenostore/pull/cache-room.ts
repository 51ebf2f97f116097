/**
 * How large a cache may grow: what is written is counted, and where it would be too much, room is made first. Where that
 * cannot be, because running domains have the rest open, the answer is no, and what is read is served from memory.
 */

import { listCachedFiles } from "./cache-files.ts";
import { type Eviction, evict } from "./evict.ts";

/** Room is made for more than was asked, so that it is not made again for the next chunk. */
const spareShare = 0.1;
/** After it was found that no room can be made, this is not looked into again for so long. */
const sulkMs = 5_000;

export class CacheRoom {
  readonly #treesDirectory: string;
  readonly #maxBytes: number;
  readonly #isOpenHere: (tree: string) => boolean;
  /** Undefined until it was measured. */
  #usedBytes: number | undefined;
  #making: Promise<void> | undefined;
  #fullUntil = 0;

  constructor(treesDirectory: string, maxBytes: number, isOpenHere: (tree: string) => boolean) {
    this.#treesDirectory = treesDirectory;
    this.#maxBytes = maxBytes;
    this.#isOpenHere = isOpenHere;
  }

  /** Whether so many more bytes may be written now; they count as written then. */
  async take(bytes: number): Promise<boolean> {
    this.#usedBytes ??= await this.#measure();
    if (this.#usedBytes + bytes > this.#maxBytes) {
      if (performance.now() < this.#fullUntil) return false;
      await this.#makeRoom(bytes);
    }
    if (this.#usedBytes + bytes > this.#maxBytes) return false;
    this.#usedBytes += bytes;
    return true;
  }

  /** What other processes wrote, and files that were written twice, make the count drift: it is set right here. */
  #makeRoom(bytes: number): Promise<void> {
    this.#making ??= evict(this.#treesDirectory, this.#maxBytes * (1 - spareShare) - bytes, this.#isOpenHere)
      .then(({ keptBytes }: Eviction) => {
        this.#usedBytes = keptBytes;
        if (keptBytes + bytes > this.#maxBytes) this.#fullUntil = performance.now() + sulkMs;
      })
      .finally(() => {
        this.#making = undefined;
      });
    return this.#making;
  }

  async #measure(): Promise<number> {
    return (await listCachedFiles(this.#treesDirectory)).reduce((sum, { bytes }) => sum + bytes, 0);
  }
}
