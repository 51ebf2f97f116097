/** XDR in the test's own hand: what the server's reader and writer are checked against. */
import type { Offset } from "../../../cowfs/offsets.ts";

export class Encoder {
  readonly #parts: Buffer[] = [];

  u32(value: number): this {
    const part = Buffer.alloc(4);
    part.writeUInt32BE(value >>> 0);
    this.#parts.push(part);
    return this;
  }

  u64(value: number | bigint): this {
    const part = Buffer.alloc(8);
    part.writeBigUInt64BE(BigInt(value));
    this.#parts.push(part);
    return this;
  }

  raw(bytes: Buffer): this {
    this.#parts.push(bytes);
    return this;
  }

  opaque(bytes: Buffer): this {
    return this.u32(bytes.length)
      .raw(bytes)
      .raw(Buffer.alloc(-bytes.length & 3));
  }

  string(text: string): this {
    return this.opaque(Buffer.from(text, "latin1"));
  }

  take(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

export function encode(): Encoder {
  return new Encoder();
}

export class Decoder {
  readonly bytes: Buffer;
  position = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  get left(): number {
    return this.bytes.length - this.position;
  }

  u32(): number {
    this.position += 4;
    return this.bytes.readUInt32BE(this.position - 4);
  }

  u64(): number {
    this.position += 8;
    return Number(this.bytes.readBigUInt64BE(this.position - 8));
  }

  offset(): Offset {
    const exact = this.bytes.readBigUInt64BE(this.position);
    this.position += 8;
    return exact <= Number.MAX_SAFE_INTEGER ? Number(exact) : exact;
  }

  raw(length: number): Buffer {
    this.position += length;
    if (this.position > this.bytes.length) throw new RangeError("the reply ends early");
    return this.bytes.subarray(this.position - length, this.position);
  }

  opaque(): Buffer {
    const bytes = this.raw(this.u32());
    const padding = this.raw(-bytes.length & 3);
    if (padding.some((byte) => byte !== 0)) throw new Error("padding is not zero");
    return bytes;
  }

  string(): string {
    return this.opaque().toString("latin1");
  }

  optional<T>(read: (decoder: this) => T): T | undefined {
    return this.u32() === 0 ? undefined : read(this);
  }
}
