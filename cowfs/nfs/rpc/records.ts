/**
 * The receive path of a connection: one buffer, out of which records (RFC 5531 section 11) are served in place.
 *
 * The socket reads into `space()`. Small records are read many at a time. A record that does not fit in the usual window
 * is moved to the buffer's front once and then read exactly to its end, so that a stream of 1 MiB writes is copied
 * nowhere: the record after it starts at the front by itself.
 *
 * (R1) A record is never larger than `maxRecordBytes`, whatever its fragments claim.
 * (R2) Memory handed out by `space()` is not moved until the socket has answered with `filled()`, so that records which
 *      had to wait may be taken out while a read is under way.
 */
import { type Memory, viewMemory } from "../xdr.ts";

/** How much is read at once while records are small. */
const windowBytes = 256 * 1024;
/** Room that is always left for one read, however full the buffer is. */
const minReadBytes = 64 * 1024;
/** Fragments of a record; real clients send one. */
const maxFragments = 64;
const lastFragment = 0x80000000;

/** The peer does not speak record marking, or its record is too large: the connection is closed. */
export class RecordError extends Error {}

export class RecordReader {
  /** The memory in which `recordStart` and `recordEnd` lie. */
  readonly memory: Memory;
  /** The record that `next` found. */
  recordStart = 0;
  recordEnd = 0;

  readonly #maxRecordBytes: number;
  /** Received and not yet taken: `#start` up to `#end`. */
  #start = 0;
  #end = 0;
  /** Where in the buffer the last `space()` began. */
  #spaceStart = 0;
  /** Bytes of the record's earlier fragments, which lie before `#start`, joined; and how many there were. */
  #joinedBytes = 0;
  #fragments = 0;

  constructor(maxRecordBytes: number) {
    this.#maxRecordBytes = maxRecordBytes;
    // Not from the pool, and touched only as far as it is used: an idle connection costs a few pages.
    const capacity = Math.max(windowBytes, maxRecordBytes + 8) + minReadBytes;
    this.memory = viewMemory(Buffer.allocUnsafeSlow(capacity));
  }

  /** Whether what was received and not taken fills the usual window. */
  get isFull(): boolean {
    return this.#end - this.#start + this.#joinedBytes >= windowBytes;
  }

  /** Where the socket is to read next. */
  space(): Buffer {
    const bytes = this.memory.bytes;
    const begin = this.#start - this.#joinedBytes;
    if (begin > 0) {
      if (this.#end > begin) bytes.copyWithin(0, begin, this.#end);
      this.#start -= begin;
      this.#end -= begin;
    }
    this.#spaceStart = this.#end;
    return bytes.subarray(this.#end, Math.max(this.#wantedEnd(), this.#end + 1));
  }

  filled(count: number): void {
    this.#end = this.#spaceStart + count;
  }

  /** Whether a whole record is here; sets `recordStart` and `recordEnd`. Throws RecordError for a peer to give up. */
  next(): boolean {
    for (;;) {
      if (this.#end - this.#start < 4) return false;
      const mark = this.memory.view.getUint32(this.#start);
      const length = mark & 0x7fffffff;
      if (this.#joinedBytes + length > this.#maxRecordBytes) {
        throw new RecordError(`a record exceeds ${this.#maxRecordBytes} bytes`);
      }
      const dataStart = this.#start + 4;
      if (this.#end - dataStart < length) return false;
      const isLast = (mark & lastFragment) !== 0;
      if (isLast && this.#joinedBytes === 0) {
        this.recordStart = dataStart;
        this.recordEnd = this.#start = dataStart + length;
        this.#fragments = 0;
        return true;
      }
      if (++this.#fragments > maxFragments) throw new RecordError(`a record has over ${maxFragments} fragments`);
      this.#join(dataStart, length);
      if (isLast) {
        this.recordStart = this.#start - this.#joinedBytes;
        this.recordEnd = this.#start;
        this.#joinedBytes = 0;
        this.#fragments = 0;
        return true;
      }
    }
  }

  /**
   * Puts the joined bytes right before the end of this fragment's data, over its mark, so that nothing received after it
   * moves (R2).
   */
  #join(dataStart: number, length: number): void {
    const bytes = this.memory.bytes;
    const joinedStart = this.#start - this.#joinedBytes;
    bytes.copyWithin(joinedStart + 4, joinedStart, this.#start);
    this.#joinedBytes += length;
    this.#start = dataStart + length;
  }

  #wantedEnd(): number {
    const received = this.#end - this.#start;
    let wanted = windowBytes;
    if (received >= 4) {
      const length = this.memory.view.getUint32(this.#start) & 0x7fffffff;
      wanted = Math.max(windowBytes, this.#start + 4 + length);
    }
    if (wanted <= this.#end) wanted = this.#end + minReadBytes;
    return Math.min(wanted, this.memory.bytes.length);
  }
}
