/** A small NFSv3 client that shows every byte: what the tests of the server speak. */
import net from "node:net";
import { Decoder, type Encoder, encode } from "./encoder.ts";

export const nfs = {
  null: 0,
  getattr: 1,
  setattr: 2,
  lookup: 3,
  access: 4,
  readlink: 5,
  read: 6,
  write: 7,
  create: 8,
  mkdir: 9,
  symlink: 10,
  mknod: 11,
  remove: 12,
  rmdir: 13,
  rename: 14,
  link: 15,
  readdir: 16,
  readdirplus: 17,
  fsstat: 18,
  fsinfo: 19,
  pathconf: 20,
  commit: 21,
} as const;

export interface Credential {
  readonly uid: number;
  readonly gid: number;
  readonly groups?: readonly number[];
  readonly stamp?: number;
}

export interface CallOptions {
  readonly program?: number;
  readonly version?: number;
  readonly xid?: number;
  readonly as?: Credential;
}

export const root: Credential = { uid: 0, gid: 0 };
const deadlineMs = 120_000;

/** A call as bytes, without its record mark. */
export function encodeCall(procedure: number, args: Buffer, options: CallOptions & { xid: number }): Buffer {
  const { program = 100003, version = 3, as = root } = options;
  const credential = encode()
    .u32(as.stamp ?? 0)
    .string("tests")
    .u32(as.uid)
    .u32(as.gid);
  credential.u32(as.groups?.length ?? 0);
  for (const group of as.groups ?? []) credential.u32(group);
  const header = encode().u32(options.xid).u32(0).u32(2).u32(program).u32(version).u32(procedure);
  return header.u32(1).opaque(credential.take()).u32(0).u32(0).raw(args).take();
}

/** Record marking around one message. */
export function mark(message: Buffer, isLast = true): Buffer {
  return encode()
    .u32((isLast ? 0x80000000 : 0) + message.length)
    .raw(message)
    .take();
}

export class Client {
  readonly socket: net.Socket;
  /** Every record that came, in order, as it came. */
  readonly records: Buffer[] = [];
  isClosed = false;
  #received: Buffer = Buffer.alloc(0);
  #nextXid = 1 + Math.floor(Math.random() * 0x40000000);
  #waiters: (() => void)[] = [];

  constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on("data", (data) => this.#receive(data));
    socket.on("error", () => {});
    socket.on("close", () => {
      this.isClosed = true;
      this.#notify();
    });
  }

  /** Calls and returns the accepted reply's results; throws for anything but success. */
  async call(procedure: number, args: Encoder | Buffer = Buffer.alloc(0), options: CallOptions = {}): Promise<Decoder> {
    const xid = options.xid ?? this.#nextXid++;
    this.send(mark(encodeCall(procedure, toBuffer(args), { ...options, xid })));
    return acceptedResults(await this.reply(xid));
  }

  send(bytes: Buffer): void {
    this.socket.write(bytes);
  }

  /** The record with this xid; `nth` from 0 where it is answered more than once. */
  async reply(xid: number, nth = 0): Promise<Buffer> {
    for (;;) {
      const found = this.records.filter((record) => record.length >= 4 && record.readUInt32BE() === xid >>> 0);
      if (found.length > nth) return found[nth];
      if (this.isClosed) throw new Error("the connection was closed");
      await this.#change();
    }
  }

  async closed(): Promise<void> {
    while (!this.isClosed) await this.#change();
  }

  close(): void {
    this.socket.destroy();
  }

  async #change(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => reject(new Error("no answer in time")), deadlineMs);
    this.#waiters.push(resolve);
    await promise.finally(() => clearTimeout(timer));
  }

  #receive(data: Buffer): void {
    this.#received = Buffer.concat([this.#received, data]);
    for (;;) {
      if (this.#received.length < 4) break;
      const length = this.#received.readUInt32BE() & 0x7fffffff;
      if (this.#received.length < 4 + length) break;
      this.records.push(this.#received.subarray(4, 4 + length));
      this.#received = this.#received.subarray(4 + length);
    }
    this.#notify();
  }

  #notify(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter();
  }
}

export async function connect(port: number, options: { localPort?: number } = {}): Promise<Client> {
  const socket = net.connect({ port, host: "127.0.0.1", ...options });
  socket.setNoDelay(true);
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  return new Client(socket);
}

export function acceptedResults(record: Buffer): Decoder {
  const decoder = new Decoder(record);
  decoder.u32();
  const header = [decoder.u32(), decoder.u32()];
  if (header[0] !== 1 || header[1] !== 0) throw new Error(`denied: ${record.toString("hex")}`);
  if (decoder.u64() !== 0) throw new Error("the verifier is not AUTH_NONE");
  const status = decoder.u32();
  if (status !== 0) throw new Error(`accept status ${status}`);
  return decoder;
}

function toBuffer(args: Encoder | Buffer): Buffer {
  return Buffer.isBuffer(args) ? args : args.take();
}
