/**
 * Changes as bytes: the payload of a log record is the changes of one transaction, one after another.
 *
 * A change is a kind byte and its fields, little-endian: numbers up to 2^53 as doubles, which are exact there; names as
 * length and bytes. Version 1; a newer reader reads older logs, so kinds are added and never changed.
 */
import { XenoError } from "../errors.ts";
import type { Name, Time } from "../file-system.ts";
import type { Change, InodeFields } from "./state.ts";

const kinds = {
  put: 1,
  drop: 2,
  enter: 3,
  remove: 4,
  lay: 5,
  cut: 6,
  wrote: 7,
  attribute: 8,
  slot: 9,
  reply: 10,
  skip: 11,
  cookies: 12,
} as const satisfies Record<Change["kind"], number>;

const noBytes = Buffer.alloc(0);

/** A growing buffer that records are encoded into. */
export class ChangeWriter {
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

  patchUint32(at: number, value: number): void {
    this.#buffer.writeUInt32LE(value, at);
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
    const at = this.reserve(value.length);
    this.#buffer.write(value, at, value.length, "latin1");
  }

  blob(value: Buffer): void {
    this.uint32(value.length);
    const at = this.reserve(value.length);
    value.copy(this.#buffer, at);
  }

  change(change: Change): void {
    this.uint8(kinds[change.kind]);
    switch (change.kind) {
      case "put":
        return this.#inode(change.inode);
      case "drop":
        return this.number(change.id);
      case "enter":
        this.number(change.directory);
        this.name(change.name);
        this.number(change.id);
        return this.number(change.cookie);
      case "remove":
        this.number(change.directory);
        return this.name(change.name);
      case "lay":
        this.number(change.id);
        this.number(change.extent.offset);
        this.number(change.extent.length);
        this.number(change.extent.address);
        return this.uint32(change.checksum);
      case "cut":
        this.number(change.id);
        return this.number(change.size);
      case "wrote":
        this.number(change.id);
        this.number(change.size);
        this.uint32(change.mode);
        return this.time(change.time);
      case "attribute":
        this.number(change.id);
        this.name(change.name);
        this.uint8(change.value === undefined ? 0 : 1);
        return this.blob(change.value ?? noBytes);
      case "slot":
        this.uint32(change.slot.number);
        this.number(change.slot.directory);
        this.name(change.slot.url);
        return this.name(change.slot.identity);
      case "reply":
        this.name(change.key);
        return this.blob(change.bytes);
      case "skip":
        return this.number(change.nextInode);
      case "cookies":
        this.number(change.directory);
        return this.number(change.next);
    }
  }

  #inode(inode: InodeFields): void {
    this.number(inode.id);
    this.uint32(inode.mode);
    this.number(inode.links);
    this.uint32(inode.uid);
    this.uint32(inode.gid);
    this.number(inode.size);
    this.uint32(inode.deviceMajor);
    this.uint32(inode.deviceMinor);
    this.time(inode.accessed);
    this.time(inode.modified);
    this.time(inode.changed);
    this.number(inode.parent);
    this.name(inode.target);
    this.name(inode.verifier === undefined ? "" : inode.verifier.toString(16));
  }
}

/** Reads changes back. Throws `journal-damaged` on anything that a writer of this version does not write. */
export class ChangeReader {
  readonly #bytes: Buffer;
  #at = 0;
  #lastTime: Time = { seconds: 0, nanoseconds: 0 };

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  *changes(): Generator<Change> {
    while (this.#at < this.#bytes.length) yield this.#change();
  }

  #change(): Change {
    const kind = this.#uint8();
    switch (kind) {
      case kinds.put:
        return { kind: "put", inode: this.#inode() };
      case kinds.drop:
        return { kind: "drop", id: this.#number() };
      case kinds.enter:
        return {
          kind: "enter",
          directory: this.#number(),
          name: this.#name(),
          id: this.#number(),
          cookie: this.#number(),
        };
      case kinds.remove:
        return { kind: "remove", directory: this.#number(), name: this.#name() };
      case kinds.lay: {
        const id = this.#number();
        const extent = { offset: this.#number(), length: this.#number(), address: this.#number() };
        return { kind: "lay", id, extent, checksum: this.#uint32() };
      }
      case kinds.cut:
        return { kind: "cut", id: this.#number(), size: this.#number() };
      case kinds.wrote:
        return { kind: "wrote", id: this.#number(), size: this.#number(), mode: this.#uint32(), time: this.#time() };
      case kinds.attribute: {
        const [id, name, isSet, value] = [this.#number(), this.#name(), this.#uint8() === 1, this.#blob()];
        return { kind: "attribute", id, name, value: isSet ? value : undefined };
      }
      case kinds.slot:
        return {
          kind: "slot",
          slot: { number: this.#uint32(), directory: this.#number(), url: this.#name(), identity: this.#name() },
        };
      case kinds.reply:
        return { kind: "reply", key: this.#name(), bytes: this.#blob() };
      case kinds.skip:
        return { kind: "skip", nextInode: this.#number() };
      case kinds.cookies:
        return { kind: "cookies", directory: this.#number(), next: this.#number() };
      default:
        throw damaged(`a change of unknown kind ${kind}`);
    }
  }

  #inode(): InodeFields {
    return {
      id: this.#number(),
      mode: this.#uint32(),
      links: this.#number(),
      uid: this.#uint32(),
      gid: this.#uint32(),
      size: this.#number(),
      deviceMajor: this.#uint32(),
      deviceMinor: this.#uint32(),
      accessed: this.#time(),
      modified: this.#time(),
      changed: this.#time(),
      parent: this.#number(),
      target: this.#name(),
      verifier: parseVerifier(this.#name()),
    };
  }

  #take(bytes: number): number {
    const at = this.#at;
    if (at + bytes > this.#bytes.length) throw damaged("a change that ends early");
    this.#at = at + bytes;
    return at;
  }

  #uint8(): number {
    return this.#bytes[this.#take(1)];
  }

  #uint32(): number {
    return this.#bytes.readUInt32LE(this.#take(4));
  }

  #number(): number {
    const number = this.#bytes.readDoubleLE(this.#take(8));
    // As a small integer where it is one: a million files have ten million of them, and a double is an object.
    const integer = number | 0;
    return integer === number ? integer : number;
  }

  #time(): Time {
    const seconds = this.#number();
    const nanoseconds = this.#uint32();
    // A file's times are mostly one.
    const last = this.#lastTime;
    if (last.seconds !== seconds || last.nanoseconds !== nanoseconds) this.#lastTime = { seconds, nanoseconds };
    return this.#lastTime;
  }

  #name(): Name {
    const length = this.#uint32();
    const at = this.#take(length);
    return this.#bytes.toString("latin1", at, at + length);
  }

  #blob(): Buffer {
    const length = this.#uint32();
    const at = this.#take(length);
    return Buffer.from(this.#bytes.subarray(at, at + length));
  }
}

function parseVerifier(text: string): bigint | undefined {
  if (text === "") return undefined;
  if (!/^[0-9a-f]{1,16}$/.test(text)) throw damaged("a malformed create verifier");
  return BigInt(`0x${text}`);
}

function damaged(what: string): XenoError {
  return new XenoError("journal-damaged", `the journal's log holds ${what}`);
}
