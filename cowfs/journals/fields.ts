/**
 * The fields of changes as bytes, little-endian: numbers up to 2^53 as doubles, which are exact there; names as length and
 * bytes.
 */
import { XenoError } from "../errors.ts";
import type { Name, Time } from "../file-system.ts";

/** A growing buffer that fields are written into. */
export class FieldWriter {
  #buffer = Buffer.allocUnsafe(64 * 1024);
  length = 0;

  /** The bytes so far; valid until the next write. */
  bytes(): Buffer {
    return this.#buffer.subarray(0, this.length);
  }

  clear(): void {
    this.length = 0;
    if (this.#buffer.length > 4 * 1024 * 1024) this.#buffer = Buffer.allocUnsafe(64 * 1024);
  }

  reserve(bytes: number): number {
    const at = this.length;
    this.length += bytes;
    if (this.length > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.length, this.#buffer.length * 2));
      this.#buffer.copy(grown, 0, 0, at);
      this.#buffer = grown;
    }
    return at;
  }

  uint8(value: number): void {
    const at = this.reserve(1);
    this.#buffer[at] = value;
  }

  uint32(value: number): void {
    const at = this.reserve(4);
    this.#buffer.writeUInt32LE(value, at);
  }

  number(value: number): void {
    const at = this.reserve(8);
    this.#buffer.writeDoubleLE(value, at);
  }

  time(value: Time): void {
    this.number(value.seconds);
    this.uint32(value.nanoseconds);
  }

  name(value: Name): void {
    this.uint32(value.length);
    this.text(value);
  }

  /** The bytes alone. */
  text(value: Name): void {
    const at = this.reserve(value.length);
    this.#buffer.write(value, at, value.length, "latin1");
  }

  blob(value: Buffer): void {
    this.uint32(value.length);
    const at = this.reserve(value.length);
    value.copy(this.#buffer, at);
  }
}

/** Reads fields back. Throws `journal-damaged` where they end early. */
export class FieldReader {
  readonly #bytes: Buffer;
  #at = 0;
  #lastTime: Time = { seconds: 0, nanoseconds: 0 };

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  protected get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  #take(bytes: number): number {
    const at = this.#at;
    if (at + bytes > this.#bytes.length) throw damagedChange("a change that ends early");
    this.#at = at + bytes;
    return at;
  }

  protected uint8(): number {
    return this.#bytes[this.#take(1)];
  }

  protected uint32(): number {
    return this.#bytes.readUInt32LE(this.#take(4));
  }

  protected number(): number {
    const number = this.#bytes.readDoubleLE(this.#take(8));
    // As a small integer where it is one: a million files have ten million of them, and a double is an object.
    const integer = number | 0;
    return integer === number ? integer : number;
  }

  protected time(): Time {
    const seconds = this.number();
    const nanoseconds = this.uint32();
    // A file's times are mostly one.
    const last = this.#lastTime;
    if (last.seconds !== seconds || last.nanoseconds !== nanoseconds) this.#lastTime = { seconds, nanoseconds };
    return this.#lastTime;
  }

  protected name(): Name {
    const length = this.uint32();
    const at = this.#take(length);
    return this.#bytes.toString("latin1", at, at + length);
  }

  protected blob(): Buffer {
    const length = this.uint32();
    const at = this.#take(length);
    return Buffer.from(this.#bytes.subarray(at, at + length));
  }
}

export function damagedChange(what: string): XenoError {
  return new XenoError("journal-damaged", `the journal's log holds ${what}`);
}
