/**
 * A request as it lies in the buffer that it was read into. Fields are read in place, as 32-bit words; nothing is copied
 * until somebody has to wait (`detach`). The sender is the kernel, which is trusted for the shape of what it sends.
 */
import type { Name } from "../file-system.ts";
import type { Offset } from "../offsets.ts";
import { requestHeaderBytes } from "./protocol.ts";

const bodyWord = requestHeaderBytes / 4;

export class Request {
  readonly bytes: Buffer;
  #words: Uint32Array;

  /** `bytes` begins at a multiple of 4 in its ArrayBuffer. */
  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.#words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
  }

  /** A copy of this request alone, to keep while its buffer is read into again. */
  detach(): Request {
    const copy = Buffer.from(new ArrayBuffer((this.length + 3) & ~3));
    this.bytes.copy(copy, 0, 0, this.length);
    return new Request(copy);
  }

  get length(): number {
    return this.#words[0];
  }
  get opcode(): number {
    return this.#words[1];
  }
  /** Names the request; FORGETs and notifications aside, its reply carries it back. */
  get unique(): number {
    return this.#long(2);
  }
  get node(): number {
    return this.#long(4);
  }
  get uid(): number {
    return this.#words[6];
  }
  get gid(): number {
    return this.#words[7];
  }

  /** The 32-bit field at a byte offset of the body. */
  word(offset: number): number {
    return this.#words[bodyWord + (offset >>> 2)];
  }

  /** The 64-bit field at a byte offset of the body: exact below 2^53, as all sizes, offsets and nodes here are. */
  long(offset: number): number {
    return this.#long(bodyWord + (offset >>> 2));
  }

  /** The 64-bit offset or size at a byte offset of the body, exact: the kernel's are below 2^63. */
  offset(offset: number): Offset {
    const small = this.long(offset);
    if (small <= Number.MAX_SAFE_INTEGER) return small;
    const at = bodyWord + (offset >>> 2);
    return (BigInt(this.#words[at + 1]) << 32n) | BigInt(this.#words[at]);
  }

  signedLong(offset: number): number {
    const at = bodyWord + (offset >>> 2);
    return (this.#words[at + 1] | 0) * 0x1_0000_0000 + this.#words[at];
  }

  /** The NUL-terminated string at a byte offset of the body. */
  name(offset: number): Name {
    const start = requestHeaderBytes + offset;
    return this.bytes.toString("latin1", start, this.bytes.indexOf(0, start));
  }

  /** Bytes of the body, in place. */
  data(offset: number, length: number): Buffer {
    const start = requestHeaderBytes + offset;
    return this.bytes.subarray(start, start + length);
  }

  #long(at: number): number {
    return this.#words[at + 1] * 0x1_0000_0000 + this.#words[at];
  }
}
