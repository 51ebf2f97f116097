/**
 * The replies that are remembered for retransmissions: the last so many of a journal (DESIGN 5, "Exactly once").
 *
 * A ring of keys beside a map: the oldest entry of a Map that is deleted from at its front is slow to find.
 */
import type { RequestKey } from "../file-system.ts";

export const maxReplies = 65_536;

interface Remembered {
  readonly bytes: Buffer;
  /** Its place in the ring. */
  readonly place: number;
}

export class Replies {
  readonly #byKey = new Map<RequestKey, Remembered>();
  readonly #ring: RequestKey[] = [];
  #next = 0;

  get size(): number {
    return this.#byKey.size;
  }

  get(key: RequestKey): Buffer | undefined {
    return this.#byKey.get(key)?.bytes;
  }

  set(key: RequestKey, bytes: Buffer): void {
    const place = this.#next;
    this.#next = (place + 1) % maxReplies;
    const oldest = this.#ring[place];
    // A key that was set again has another place by now.
    if (oldest !== undefined && this.#byKey.get(oldest)?.place === place) this.#byKey.delete(oldest);
    this.#ring[place] = key;
    this.#byKey.set(key, { bytes, place });
  }

  clear(): void {
    this.#byKey.clear();
    this.#ring.length = 0;
    this.#next = 0;
  }

  /** Oldest first: setting them in this order forgets them in this order. */
  *[Symbol.iterator](): Generator<[key: RequestKey, bytes: Buffer]> {
    for (let index = 0; index < this.#ring.length; index++) {
      const place = (this.#next + index) % this.#ring.length;
      const key = this.#ring[place];
      const remembered = this.#byKey.get(key);
      if (remembered?.place === place) yield [key, remembered.bytes];
    }
  }
}
