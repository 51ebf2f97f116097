/**
 * XDR (RFC 4506) read in place from a received message, and written straight into a reply buffer.
 *
 * Both sides are one long-lived object that is pointed at memory, so that a message costs no allocation. The reader
 * trusts nothing: every length is checked against the message's end before it is used.
 */

import type { Offset } from "../offsets.ts";

/** The message does not decode: the RPC layer answers GARBAGE_ARGS. */
export class XdrError extends Error {}

/** One instance: thrown on hostile input, where a stack would only cost time. */
const truncated = new XdrError("the message ends within an item, or a length exceeds its bound");

/** A Buffer and a DataView of the same memory. */
export interface Memory {
  readonly bytes: Buffer;
  readonly view: DataView;
}

export function viewMemory(bytes: Buffer): Memory {
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
}

export class XdrReader {
  bytes: Buffer = Buffer.alloc(0);
  position = 0;
  end = 0;
  #view: DataView = new DataView(this.bytes.buffer, 0, 0);

  /** Points the reader at bytes `start` up to `end` of a memory. */
  attach(memory: Memory, start: number, end: number): void {
    this.bytes = memory.bytes;
    this.#view = memory.view;
    this.position = start;
    this.end = end;
  }

  readUint32(): number {
    const at = this.position;
    if (at + 4 > this.end) throw truncated;
    this.position = at + 4;
    return this.#view.getUint32(at);
  }

  readBoolean(): boolean {
    return this.readUint32() !== 0;
  }

  /** A uint64 as a number; values from 2^53 up lose their low bits and stay above 2^53 - 1, so that bounds still hold. */
  readUint64(): number {
    const high = this.readUint32();
    return high * 4294967296 + this.readUint32();
  }

  /** A uint64 in the one form of offsets: a bigint from 2^53 up. */
  readOffset(): Offset {
    const at = this.position;
    const small = this.readUint64();
    return small <= Number.MAX_SAFE_INTEGER ? small : this.#view.getBigUint64(at);
  }

  readBigUint64(): bigint {
    const at = this.position;
    if (at + 8 > this.end) throw truncated;
    this.position = at + 8;
    return this.#view.getBigUint64(at);
  }

  /** Steps over a variable-length opaque and its padding. Returns its length; it starts at the old position + 4. */
  skipOpaque(maxBytes: number): number {
    const length = this.readUint32();
    // The end bounds `length` before the padding is added, so nothing here can overflow.
    if (length > maxBytes || length > this.end - this.position) throw truncated;
    const padded = (length + 3) & ~3;
    if (padded > this.end - this.position) throw truncated;
    this.position += padded;
    return length;
  }

  /** A string as one char a byte. */
  readString(maxBytes: number): string {
    const start = this.position + 4;
    const length = this.skipOpaque(maxBytes);
    return this.bytes.toString("latin1", start, start + length);
  }

  /** A view of an opaque in the received message: valid until the request is done, and no longer. */
  readOpaque(maxBytes: number): Buffer {
    const start = this.position + 4;
    const length = this.skipOpaque(maxBytes);
    return this.bytes.subarray(start, start + length);
  }
}

/** Called when a writer's memory is full: points it at memory with `bytes` of room, or throws. */
export type MakeRoom = (writer: XdrWriter, bytes: number) => void;

/**
 * Writes into memory of a fixed size. The items themselves are not checked against its end: who writes calls `ensure`
 * once with a bound of what is to come.
 */
export class XdrWriter {
  bytes: Buffer = Buffer.alloc(0);
  position = 0;
  end = 0;
  #view: DataView = new DataView(this.bytes.buffer, 0, 0);
  readonly #makeRoom: MakeRoom;

  constructor(makeRoom: MakeRoom = refuseRoom) {
    this.#makeRoom = makeRoom;
  }

  attach(memory: Memory, position: number, end: number): void {
    this.bytes = memory.bytes;
    this.#view = memory.view;
    this.position = position;
    this.end = end;
  }

  /** Makes sure of room for `bytes` more; what the record holds so far may move. */
  ensure(bytes: number): void {
    if (this.position + bytes > this.end) this.#makeRoom(this, bytes);
  }

  writeUint32(value: number): void {
    this.#view.setUint32(this.position, value);
    this.position += 4;
  }

  writeUint32At(position: number, value: number): void {
    this.#view.setUint32(position, value);
  }

  writeBoolean(value: boolean): void {
    this.writeUint32(value ? 1 : 0);
  }

  /** Takes integers from 0 to 2^53 - 1. */
  writeOffset(value: Offset): void {
    if (typeof value === "number") this.writeUint64(value);
    else {
      this.writeUint32(Number(value >> 32n));
      this.writeUint32(Number(value & 0xffffffffn));
    }
  }

  writeUint64(value: number): void {
    const at = this.position;
    this.#view.setUint32(at, value / 4294967296);
    this.#view.setUint32(at + 4, value);
    this.position = at + 8;
  }

  writeBytes(source: Buffer): void {
    this.bytes.set(source, this.position);
    this.position += source.length;
  }

  /** A string of one char a byte. */
  writeString(text: string): void {
    const length = text.length;
    this.writeUint32(length);
    if (length <= 32) {
      for (let i = 0; i < length; i++) this.bytes[this.position + i] = text.charCodeAt(i);
    } else {
      this.bytes.write(text, this.position, length, "latin1");
    }
    this.position += length;
    this.pad(length);
  }

  writeOpaque(source: Buffer): void {
    this.writeUint32(source.length);
    this.writeBytes(source);
    this.pad(source.length);
  }

  /** Writes the zero bytes that follow an opaque of `length` bytes: pooled memory holds other replies' bytes. */
  pad(length: number): void {
    for (let i = length & 3; i !== 0 && i < 4; i++) this.bytes[this.position++] = 0;
  }
}

function refuseRoom(): never {
  throw new RangeError("a reply exceeds the memory set aside for it");
}
