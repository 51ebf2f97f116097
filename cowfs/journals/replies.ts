/**
 * The replies that are remembered for retransmissions: the last so many (DESIGN 5, "Exactly once").
 *
 * A ring of keys beside a map: the oldest entry of a Map that is deleted from at its front is slow to find. Their bytes lie one
 * after the other in slabs of their own, which go as their replies go. Kept as they are given, each would hold whatever small
 * buffers were allocated beside it: Node takes them from pools of 64 KiB, and 65,536 replies of 250 bytes held 315 MB.
 */
import type { RequestKey } from "../file-system.ts";

/** A journal's. */
export const maxReplies = 65_536;

const slabBytes = 256 * 1024;

interface Remembered {
  readonly slab: Buffer;
  readonly start: number;
  readonly end: number;
  /** Its place in the ring. */
  readonly place: number;
}

export class Replies {
  readonly #byKey = new Map<RequestKey, Remembered>();
  readonly #ring: RequestKey[] = [];
  #next = 0;
  #slab = Buffer.alloc(0);
  #used = 0;
  readonly #most: number;

  constructor(most = maxReplies) {
    this.#most = most;
  }

  get size(): number {
    return this.#byKey.size;
  }

  get(key: RequestKey): Buffer | undefined {
    const remembered = this.#byKey.get(key);
    return remembered && bytesOf(remembered);
  }

  /** Keeps a copy. */
  set(key: RequestKey, bytes: Buffer): void {
    const place = this.#next;
    this.#next = (place + 1) % this.#most;
    const oldest = this.#ring[place];
    // A key that was set again has another place by now.
    if (oldest !== undefined && this.#byKey.get(oldest)?.place === place) this.#byKey.delete(oldest);
    this.#ring[place] = key;
    this.#byKey.set(key, this.#keep(bytes, place));
  }

  clear(): void {
    this.#byKey.clear();
    this.#ring.length = 0;
    this.#next = 0;
    this.#slab = Buffer.alloc(0);
    this.#used = 0;
  }

  /** Oldest first: setting them in this order forgets them in this order. */
  *[Symbol.iterator](): Generator<[key: RequestKey, bytes: Buffer]> {
    for (let index = 0; index < this.#ring.length; index++) {
      const place = (this.#next + index) % this.#ring.length;
      const key = this.#ring[place];
      const remembered = this.#byKey.get(key);
      if (remembered?.place === place) yield [key, bytesOf(remembered)];
    }
  }

  #keep(bytes: Buffer, place: number): Remembered {
    if (bytes.length > this.#slab.length - this.#used) {
      this.#slab = Buffer.allocUnsafeSlow(Math.max(slabBytes, bytes.length));
      this.#used = 0;
    }
    const start = this.#used;
    this.#used += bytes.copy(this.#slab, start);
    return { slab: this.#slab, start, end: this.#used, place };
  }
}

function bytesOf({ slab, start, end }: Remembered): Buffer {
  return slab.subarray(start, end);
}
