/**
 * The reply under construction: one buffer for the whole mount, since a reply is built and sent in one go.
 */
import type { FileId, Name } from "../file-system.ts";
import type { Offset } from "../offsets.ts";
import { maxDataBytes, pageBytes, replyHeaderBytes } from "./protocol.ts";

const capacity = maxDataBytes + pageBytes;

export class Reply {
  readonly bytes: Buffer = Buffer.from(new ArrayBuffer(capacity));
  /** Inodes that the kernel knows once more when it has this reply (its LOOKUP counts). */
  readonly grants: { id: FileId; isDirectory: boolean }[] = [];
  /** Bytes so far, with the header. */
  length: number = replyHeaderBytes;
  #words = new Uint32Array(this.bytes.buffer);

  begin(): void {
    this.length = replyHeaderBytes;
    this.grants.length = 0;
  }

  /** Completes the header. `errno` is 0 or an error, whose reply has no body. */
  finish(unique: number, errno: number): void {
    if (errno !== 0) this.begin();
    this.#words[0] = this.length;
    this.#words[1] = -errno;
    this.#words[2] = unique >>> 0;
    this.#words[3] = Math.floor(unique / 0x1_0000_0000);
  }

  word(value: number): void {
    this.#words[this.length >>> 2] = value;
    this.length += 4;
  }

  /** A 64-bit field; negative numbers as two's complement. */
  long(value: number): void {
    const at = this.length >>> 2;
    this.#words[at] = value >>> 0;
    this.#words[at + 1] = Math.floor(value / 0x1_0000_0000);
    this.length += 8;
  }

  offset(value: Offset): void {
    if (typeof value === "number") this.long(value);
    else {
      this.word(Number(value & 0xffffffffn));
      this.word(Number(value >> 32n));
    }
  }

  zeros(bytes: number): void {
    this.bytes.fill(0, this.length, this.length + bytes);
    this.length += bytes;
  }

  text(value: Name): void {
    this.length += this.bytes.write(value, this.length, "latin1");
  }

  data(value: Buffer): void {
    this.length += value.copy(this.bytes, this.length);
  }

  /** Pads to 8 bytes, as between directory entries. */
  align(): void {
    while (this.length % 8 !== 0) this.bytes[this.length++] = 0;
  }
}
