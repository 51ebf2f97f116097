/**
 * ONC RPC (RFC 5531) as a client, over TCP to one address and port.
 *
 * The connection is made with the first call and again after it broke, from a privileged port where the process may bind one. A call
 * whose connection ends before its answer is sent once more under its xid, as NFS clients do: a server with a duplicate
 * request cache does it once. Deadlines are the caller's: who has waited enough closes it.
 */
import net from "node:net";
import { XenoError } from "../../errors.ts";
import { viewMemory, XdrReader, XdrWriter } from "../xdr.ts";
import { RecordReader } from "./records.ts";

/** Arguments are at most a WRITE of one block; results are bounded by what is asked for. */
const maxRecordBytes = 320 * 1024;
const maxCallBytes = 160 * 1024;
const connectTimeoutMs = 5000;
const privilegedPorts = { first: 665, last: 1023 };

export interface RpcTarget {
  readonly address: string;
  readonly port: number;
  readonly program: number;
  readonly version: number;
}

interface Pending {
  readonly record: Buffer;
  isSentAgain: boolean;
  resolve(reply: Buffer): void;
  reject(error: Error): void;
}

export class RpcClient {
  readonly #target: RpcTarget;
  readonly #pending = new Map<number, Pending>();
  #socket: Promise<net.Socket> | undefined;
  #isClosed = false;
  #nextXid = Math.floor(Math.random() * 2 ** 32);

  /** Closed by `signal`, too. */
  constructor(target: RpcTarget, signal?: AbortSignal) {
    this.#target = target;
    this.#isClosed = signal?.aborted === true;
    signal?.addEventListener("abort", () => this.close(), { once: true });
  }

  /** Calls a procedure; settles with a reader at its results. Rejects with `layer-unreachable` or `layer-protocol`. */
  async call(procedure: number, write: (writer: XdrWriter) => void = () => {}): Promise<XdrReader> {
    if (this.#isClosed) throw this.#unreachable("the connection is closed");
    const xid = this.#nextXid++ >>> 0;
    const record = this.#encode(xid, procedure, write);
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    this.#pending.set(xid, { record, isSentAgain: false, resolve, reject });
    this.#send(record).catch((error) => this.#refuse(xid, error));
    return this.#readResults(await promise, procedure);
  }

  /** Rejects what waits for an answer. */
  close(): void {
    this.#isClosed = true;
    for (const xid of [...this.#pending.keys()]) this.#refuse(xid, this.#unreachable("the connection is closed"));
    void this.#socket?.then(
      (socket) => socket.destroy(),
      () => {},
    );
  }

  #encode(xid: number, procedure: number, write: (writer: XdrWriter) => void): Buffer {
    const { program, version } = this.#target;
    const memory = viewMemory(Buffer.allocUnsafe(maxCallBytes));
    const writer = new XdrWriter();
    writer.attach(memory, 4, maxCallBytes);
    for (const word of [xid, 0, 2, program, version, procedure]) writer.writeUint32(word);
    // AUTH_SYS (RFC 5531 appendix A) of root, in no other group.
    const machine = "xenoserver";
    writer.writeUint32(1);
    writer.writeUint32(4 + 4 + ((machine.length + 3) & ~3) + 12);
    writer.writeUint32(0);
    writer.writeString(machine);
    for (const word of [0, 0, 0, 0, 0]) writer.writeUint32(word);
    write(writer);
    writer.writeUint32At(0, 0x80000000 + writer.position - 4);
    return memory.bytes.subarray(0, writer.position);
  }

  async #send(record: Buffer): Promise<void> {
    this.#socket ??= this.#connect();
    (await this.#socket).write(record);
  }

  async #connect(): Promise<net.Socket> {
    try {
      const socket = await this.#connectFromPrivilegedPort();
      this.#listen(socket);
      if (this.#isClosed) socket.destroy();
      return socket;
    } catch (error) {
      this.#socket = undefined;
      throw error;
    }
  }

  async #connectFromPrivilegedPort(): Promise<net.Socket> {
    const { first, last } = privilegedPorts;
    const count = last - first + 1;
    const start = Math.floor(Math.random() * count);
    for (let tried = 0; tried < 32; tried++) {
      try {
        return await this.#open(first + ((start + tried) % count));
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === "EACCES") break;
        if (code !== "EADDRINUSE" && code !== "EADDRNOTAVAIL") throw this.#unreachable(error);
      }
    }
    return await this.#open(undefined).catch((error) => Promise.reject(this.#unreachable(error)));
  }

  async #open(localPort: number | undefined): Promise<net.Socket> {
    const { address, port } = this.#target;
    const socket = net.connect({ host: address, port, localPort, noDelay: true });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    socket.once("connect", resolve);
    socket.once("error", reject);
    const timer = setTimeout(() => reject(new Error("no connection in time")), connectTimeoutMs);
    try {
      await promise;
      return socket;
    } catch (error) {
      socket.destroy();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  #listen(socket: net.Socket): void {
    const records = new RecordReader(maxRecordBytes);
    socket.on("error", () => {});
    socket.on("data", (data: Buffer) => {
      try {
        this.#receive(records, data);
      } catch {
        // It does not speak RPC, or answers more than was asked for.
        socket.destroy();
      }
    });
    socket.once("close", () => this.#lost());
  }

  #receive(records: RecordReader, data: Buffer): void {
    for (let at = 0; at < data.length; ) {
      const count = data.copy(records.space(), 0, at);
      records.filled(count);
      at += count;
      while (records.next()) {
        const record = Buffer.from(records.memory.bytes.subarray(records.recordStart, records.recordEnd));
        if (record.length < 4) continue;
        const xid = record.readUInt32BE(0);
        const pending = this.#pending.get(xid);
        this.#pending.delete(xid);
        pending?.resolve(record);
      }
    }
  }

  #lost(): void {
    this.#socket = undefined;
    for (const [xid, pending] of this.#pending) {
      if (pending.isSentAgain) {
        this.#refuse(xid, this.#unreachable("the connection was closed twice"));
        continue;
      }
      pending.isSentAgain = true;
      this.#send(pending.record).catch((error) => this.#refuse(xid, error));
    }
  }

  #refuse(xid: number, error: Error): void {
    const pending = this.#pending.get(xid);
    this.#pending.delete(xid);
    pending?.reject(error);
  }

  #unreachable(why: unknown): XenoError {
    const { address, port } = this.#target;
    return new XenoError("layer-unreachable", `${address} port ${port}: ${(why as Error)?.message ?? why}`);
  }

  /** Reads the reply's header (RFC 5531 section 9). */
  #readResults(reply: Buffer, procedure: number): XdrReader {
    const reader = new XdrReader();
    reader.attach(viewMemory(reply), 4, reply.length);
    const isReply = reader.readUint32() === 1;
    const isAccepted = isReply && reader.readUint32() === 0;
    if (isAccepted) {
      reader.readUint32();
      reader.skipOpaque(400);
      if (reader.readUint32() === 0) return reader;
    }
    const { program } = this.#target;
    throw new XenoError("layer-protocol", `the server refuses procedure ${procedure} of program ${program}`);
  }
}
