/**
 * Verified chunks for which the local disk has no room: kept in memory, the least recently used ones dropped, so that a
 * full disk makes reads slow and not wrong. One instance serves all trees of a process.
 */

/** A read needs at most 1 MiB and the ends of two chunks at once; this holds what some dozens of them wait for. */
const defaultMaxBytes = 64 * 2 ** 20;

export class MemoryChunks {
  bytes = 0;
  readonly #maxBytes: number;
  /** In order of their last use. */
  readonly #chunks = new Map<string, Buffer>();

  constructor(maxBytes: number = defaultMaxBytes) {
    this.#maxBytes = maxBytes;
  }

  has(key: string): boolean {
    return this.#chunks.has(key);
  }

  get(key: string): Buffer | undefined {
    const bytes = this.#chunks.get(key);
    if (bytes === undefined) return undefined;
    this.#chunks.delete(key);
    this.#chunks.set(key, bytes);
    return bytes;
  }

  put(key: string, bytes: Buffer): void {
    this.delete(key);
    this.#chunks.set(key, bytes);
    this.bytes += bytes.length;
    for (const oldest of this.#chunks.keys()) {
      if (this.bytes <= this.#maxBytes || oldest === key) break;
      this.delete(oldest);
    }
  }

  delete(key: string): void {
    this.bytes -= this.#chunks.get(key)?.length ?? 0;
    this.#chunks.delete(key);
  }
}
