/**
 * One client connection: bytes in, records to the dispatcher, replies out.
 *
 * (C1) Everything is bounded: a record's size, what one turn may do for one connection, requests that wait, replies that
 *      the client does not take. At a bound the connection stops reading, and TCP tells the client.
 * (C2) When the connection closes, nothing that it had queued is executed any more.
 * (C3) Nothing is written but in `send`, which the turn calls after the file system's flush.
 */
import net from "node:net";
import type { Peer } from "./procedures/procedure.ts";
import type { ReplyChunk, ReplyPool } from "./reply-pool.ts";
import { ReplyStream } from "./reply-stream.ts";
import { RecordError, RecordReader } from "./rpc/records.ts";
import type { Memory } from "./xdr.ts";

/** What one connection may have done in one turn of the event loop before the others get theirs. */
const maxRequestsPerTurn = 256;
const maxBytesPerTurn = 4 * 1024 * 1024;
/** Requests that wait for data or for stable storage. */
const maxWaiting = 256;
const maxWaitingBytes = 32 * 1024 * 1024;
/** Of all connections of an export: each has its equal share, or a client would have as much as it connects. */
const maxExportWaitingBytes = 64 * 1024 * 1024;
/** Replies that were not yet taken by the client. */
const maxPendingBytes = 4 * 1024 * 1024;
/** From here on replies are sent within the turn: their buffer is used again while it is in the processor's cache. */
const sendAtBytes = 512 * 1024;
const keepAliveMs = 60_000;
/** The least that Linux takes. Of one that was silent for longer, the peer is asked at once. */
const probeMs = 1000;
let activity = 0;

/** What a connection needs of its export. */
export interface ConnectionOwner {
  readonly pool: ReplyPool;
  /** Open ones, this one included. */
  readonly connectionCount: number;
  readonly maxRecordBytes: number;
  serveMessage(connection: Connection, memory: Memory, start: number, end: number): void;
  /** Sends at the end of this turn. */
  sendLater(connection: Connection): void;
  /** Flushes the file system and sends at once. */
  sendEarly(connection: Connection): void;
  /** Asks for `proceed` in the next turn. */
  proceedLater(connection: Connection): void;
  received(bytes: number): void;
  sent(bytes: number): void;
  closed(connection: Connection): void;
}

export class Connection {
  readonly peer: Peer;
  readonly replies: ReplyStream;
  isOpen = true;
  /** Whether the turn has this connection on its list. */
  isInTurn = false;
  /** Grows with each receipt, over all connections: tells which has been silent longest. */
  lastActive = ++activity;
  /** Whether an NFS request came over it, other than NULL. */
  hasServed = false;

  readonly #owner: ConnectionOwner;
  readonly #socket: net.Socket;
  readonly #records: RecordReader;
  #waiting = 0;
  #waitingBytes = 0;
  #requestsLeft = maxRequestsPerTurn;
  #bytesLeft = maxBytesPerTurn;
  /** Whether records that are here have to wait: for a bound, or for the next turn. */
  #isHeldUp = false;
  #isPaused = false;
  #willProceed = false;
  #inFlight: ReplyChunk[] = [];

  /** Takes over an accepted socket. Throws when it is closed already. */
  constructor(accepted: net.Socket, owner: ConnectionOwner) {
    this.#owner = owner;
    this.replies = new ReplyStream(owner.pool);
    this.#records = new RecordReader(owner.maxRecordBytes);
    this.#socket = takeOver(accepted, {
      buffer: () => this.#records.space(),
      callback: (count) => this.#receive(count),
    });
    const socket = this.#socket;
    this.peer = { host: socket.remoteAddress ?? "", port: socket.remotePort ?? 0, localPort: socket.localPort ?? 0 };
    socket.setNoDelay(true);
    socket.setKeepAlive(true, keepAliveMs);
    socket.on("error", () => this.close());
    socket.on("end", () => this.close());
    socket.on("close", () => this.close());
  }

  /** Asks the peer's kernel, which acknowledges if it knows the connection, or resets it: after a reset of the guest. */
  probe(): void {
    this.#socket.setKeepAlive(true, probeMs);
  }

  /** Counts a request in that waits, of which `bytes` are kept; `leave` counts it out again. */
  wait(bytes: number): void {
    this.#waiting++;
    this.#waitingBytes += bytes;
  }

  leave(bytes: number): void {
    this.#waiting--;
    this.#waitingBytes -= bytes;
    this.#wake();
  }

  /** Serves what was received before, in a new turn. */
  proceed(): void {
    this.#willProceed = false;
    if (!this.isOpen) return;
    this.#requestsLeft = maxRequestsPerTurn;
    this.#bytesLeft = maxBytesPerTurn;
    this.#drain();
    if (this.isOpen && this.#isPaused && !this.#mustPause()) {
      this.#isPaused = false;
      this.#socket.resume();
    }
  }

  /** A new turn: the connection may do again what one turn allows. */
  renew(): void {
    this.#requestsLeft = maxRequestsPerTurn;
    this.#bytesLeft = maxBytesPerTurn;
  }

  /** Writes all that is ready in one system call, unless the last write is still under way: then after it. */
  send(): void {
    if (!this.isOpen || this.#inFlight.length > 0 || this.replies.pendingBytes === 0) return;
    const socket = this.#socket;
    this.#owner.sent(this.replies.pendingBytes);
    const chunks = this.replies.take();
    this.#inFlight = chunks;
    const last = chunks.length - 1;
    if (last > 0) socket.cork();
    for (let i = 0; i <= last; i++) {
      const chunk = chunks[i];
      socket.write(chunk.bytes.subarray(0, chunk.used), i === last ? this.#written : undefined);
    }
    if (last > 0) socket.uncork();
    // Mostly the kernel took it all at once: the chunks are free before the callback says so.
    if (socket.writableLength === 0) this.#releaseChunks();
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.#socket.destroy();
    // A write may be under way out of these, so they go to the garbage collector and not to the pool.
    this.#inFlight = [];
    for (const chunk of this.replies.take()) this.#owner.pool.give(chunk);
    this.#owner.closed(this);
  }

  /** Cuts the connection so that the peer sees a reset at once. */
  reset(): void {
    if (this.isOpen) this.#socket.resetAndDestroy();
    this.close();
  }

  #receive(count: number): boolean {
    if (!this.isOpen) return false;
    this.lastActive = ++activity;
    this.#owner.received(count);
    this.#records.filled(count);
    this.#drain();
    this.#isPaused = this.#mustPause();
    return this.isOpen && !this.#isPaused;
  }

  /** While the buffer has room a connection that is held up is read on, for that is how its end is noticed (C2). */
  #mustPause(): boolean {
    return this.#isHeldUp && this.#records.isFull;
  }

  #drain(): void {
    this.#isHeldUp = false;
    try {
      while (this.isOpen) {
        if (this.#isBlocked()) {
          this.#isHeldUp = true;
          return;
        }
        if (this.#requestsLeft <= 0 || this.#bytesLeft <= 0) {
          this.#isHeldUp = true;
          this.#proceedLater();
          return;
        }
        if (!this.#records.next()) return;
        this.#serveRecord();
      }
    } catch (thrown) {
      if (!(thrown instanceof RecordError)) throw thrown;
      this.close();
    }
  }

  #serveRecord(): void {
    const { memory, recordStart, recordEnd } = this.#records;
    const pending = this.replies.pendingBytes;
    this.#owner.serveMessage(this, memory, recordStart, recordEnd);
    this.#requestsLeft--;
    this.#bytesLeft -= recordEnd - recordStart + this.replies.pendingBytes - pending;
    if (this.replies.pendingBytes >= sendAtBytes && this.#inFlight.length === 0) this.#owner.sendEarly(this);
  }

  /** Only ever by what is its own, so that what it waits for, when it is done, wakes it. */
  #isBlocked(): boolean {
    const share = maxExportWaitingBytes / this.#owner.connectionCount;
    return (
      this.#waiting >= maxWaiting ||
      this.#waitingBytes >= Math.min(maxWaitingBytes, share) ||
      this.replies.pendingBytes >= maxPendingBytes ||
      (this.#inFlight.length > 0 && this.replies.pendingBytes >= sendAtBytes)
    );
  }

  #wake(): void {
    if (this.isOpen && this.#isHeldUp && !this.#isBlocked()) this.#proceedLater();
  }

  #proceedLater(): void {
    if (this.#willProceed) return;
    this.#willProceed = true;
    this.#owner.proceedLater(this);
  }

  /** After a write that the kernel did not take at once. */
  readonly #written = (): void => {
    if (!this.isOpen || this.#inFlight.length === 0 || this.#socket.writableLength > 0) return;
    this.#releaseChunks();
    // Through the turn, for some of what was finished meanwhile may not be flushed yet.
    if (this.replies.pendingBytes > 0) this.#owner.sendLater(this);
    this.#wake();
  };

  #releaseChunks(): void {
    for (const chunk of this.#inFlight) this.#owner.pool.give(chunk);
    this.#inFlight = [];
  }
}

interface OnRead {
  buffer(): Buffer;
  callback(count: number): boolean;
}

/**
 * Wraps the handle of an accepted socket in one that reads into our memory. Node offers `onread` only to sockets that
 * are constructed, and no other way to it; without it each read allocates 64 KiB.
 */
function takeOver(accepted: net.Socket, onread: OnRead): net.Socket {
  const owner = accepted as unknown as { _handle: object | null };
  const handle = owner._handle;
  if (handle === null || accepted.destroyed) throw new Error("the connection is closed already");
  const options = { handle, onread };
  const socket = new net.Socket(options as net.SocketConstructorOpts);
  owner._handle = null;
  // Only so that its server counts it out: it has nothing left to close.
  accepted.destroy();
  return socket;
}
