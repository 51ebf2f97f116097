/**
 * Reply buffers that really come back. Two sizes: one for a turn's small replies together, one for the largest reply.
 * The last returned is the first taken, while the processor's cache still holds it.
 */
import { maxTransferBytes } from "./limits.ts";
import { type Memory, viewMemory } from "./xdr.ts";

const commonBytes = 256 * 1024;
/** A READ of the largest size with its headers. */
export const largestReplyBytes = maxTransferBytes + 4096;
const maxFreeCommon = 16;
const maxFreeLargest = 8;

/** One reply buffer; bytes 0 up to `used` are replies. */
export interface ReplyChunk extends Memory {
  used: number;
}

export class ReplyPool {
  readonly #common: ReplyChunk[] = [];
  readonly #largest: ReplyChunk[] = [];

  /** A chunk with room for at least `bytes`. Throws RangeError for more than the largest reply. */
  take(bytes: number): ReplyChunk {
    if (bytes > largestReplyBytes) throw new RangeError(`no reply may be ${bytes} bytes long`);
    const isCommon = bytes <= commonBytes;
    const free = isCommon ? this.#common : this.#largest;
    const chunk = free.pop();
    if (chunk !== undefined) {
      chunk.used = 0;
      return chunk;
    }
    const memory = viewMemory(Buffer.allocUnsafeSlow(isCommon ? commonBytes : largestReplyBytes));
    return { bytes: memory.bytes, view: memory.view, used: 0 };
  }

  give(chunk: ReplyChunk): void {
    const isCommon = chunk.bytes.length === commonBytes;
    const free = isCommon ? this.#common : this.#largest;
    if (free.length < (isCommon ? maxFreeCommon : maxFreeLargest)) free.push(chunk);
  }
}
