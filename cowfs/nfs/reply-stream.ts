/**
 * The replies that a connection has ready: records written one after the other into pooled chunks, so that all of a turn
 * leave in one system call.
 */
import type { ReplyChunk, ReplyPool } from "./reply-pool.ts";
import { XdrWriter } from "./xdr.ts";

const markBytes = 4;
const lastFragment = 0x80000000;
/** Room that a record has from its start: any reply but READ, READLINK and directory listings fits. */
const usualReplyBytes = 1024;

export class ReplyStream {
  readonly writer: XdrWriter;
  /** Bytes in finished records that were not taken yet. */
  pendingBytes = 0;

  readonly #pool: ReplyPool;
  #chunks: ReplyChunk[] = [];
  #current: ReplyChunk | undefined;
  #recordStart = 0;

  constructor(pool: ReplyPool) {
    this.#pool = pool;
    this.writer = new XdrWriter((_writer, bytes) => this.#moveRecord(bytes));
  }

  /** Starts a record; its reply header comes next. */
  begin(): XdrWriter {
    this.#current ??= this.#addChunk(usualReplyBytes);
    const start = this.#current.used;
    this.#recordStart = start;
    this.writer.attach(this.#current, start + markBytes, this.#current.bytes.length);
    this.writer.ensure(usualReplyBytes);
    return this.writer;
  }

  /** Throws away what the record holds so far. */
  restart(): void {
    this.writer.position = this.#recordStart + markBytes;
  }

  finish(): void {
    const position = this.writer.position;
    const length = position - this.#recordStart;
    this.writer.writeUint32At(this.#recordStart, lastFragment + length - markBytes);
    this.#current!.used = position;
    this.pendingBytes += length;
  }

  /** Hands over the chunks with their finished records. Who takes them returns them to the pool. */
  take(): ReplyChunk[] {
    const chunks = this.#chunks;
    // Opened for a record that was dropped: nothing to send, so no write would ever say that it is done with.
    if (chunks.length > 0 && chunks[chunks.length - 1].used === 0) this.#pool.give(chunks.pop()!);
    this.#chunks = [];
    this.#current = undefined;
    this.pendingBytes = 0;
    return chunks;
  }

  /** Continues the record in a chunk that has room for it and `bytes` more. */
  #moveRecord(bytes: number): void {
    const from = this.#current!;
    const recordStart = this.#recordStart;
    const length = this.writer.position - recordStart;
    const to = this.#addChunk(length + bytes);
    from.bytes.copy(to.bytes, 0, recordStart, recordStart + length);
    this.#recordStart = 0;
    this.writer.attach(to, length, to.bytes.length);
  }

  #addChunk(bytes: number): ReplyChunk {
    const chunk = this.#pool.take(bytes);
    // A chunk that was opened for a record that moved on or was dropped holds nothing to send.
    const last = this.#chunks.at(-1);
    if (last !== undefined && last.used === 0) this.#pool.give(this.#chunks.pop()!);
    this.#chunks.push(chunk);
    this.#current = chunk;
    return chunk;
  }
}
