/**
 * A fuzzer of an NFS server that prefers what is new: a message whose answer was of a kind not seen before is mutated
 * further (as AFL does with branches; here the kind is program, procedure, status and the answer's length).
 *
 * Messages go to a union over a journal, one after the other over real connections, so that sequences of them matter:
 * handles that the server has given out get into later messages.
 */
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { exportFileSystem } from "../../../cowfs/nfs/export.ts";
import { openUnion } from "../../../cowfs/union/union.ts";
import { choose, createRandom, type Random } from "../../random.ts";
import { makeFastDirectory } from "../fast-directory.ts";
import { resolve, stacks } from "../union/stacks.ts";
import { type Client, connect, encodeCall, mark, nfs } from "./client.ts";
import { encode } from "./encoder.ts";
import { makeFile, mount } from "./fixture.ts";
import { attributes } from "./results.ts";

const maxCorpus = 4000;
const batchMessages = 100;
/** Of one round, whatever was sent: what a server holds is bounded. */
const maxGrowthBytes = 256 * 1024 * 1024;
const handleBytes = 32;

export async function fuzzServer(
  seed: number,
  messages: number,
  count: (what: string, by?: number) => void,
): Promise<void> {
  await using cleanup = new AsyncDisposableStack();
  const random = createRandom(seed);
  const home = makeFastDirectory();
  cleanup.defer(() => fs.rmSync(home, { recursive: true, force: true }));
  const signal = AbortSignal.timeout(24 * 3_600_000);
  const { base } = stacks["one layer"];
  const union = await openUnion({ journal: path.join(home, "journal"), base, resolve, signal });
  cleanup.defer(() => union.close());
  const defects: string[] = [];
  const exported = exportFileSystem({
    fileSystem: union,
    bootEpoch: 1,
    requirePrivilegedPort: false,
    onInternalError: (what, error) => defects.push(`${what}: ${(error as Error).stack}`),
    onFailed: (error) => defects.push(`the export failed: ${(error as Error).stack}`),
  });
  const server = net.createServer();
  exported.serve(server);
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  cleanup.defer(() => {
    exported.close();
    return new Promise<void>((closed) => server.close(() => closed()));
  });
  const { port } = server.address() as net.AddressInfo;
  const first = await connect(port);
  cleanup.defer(() => first.close());
  const root = await mount(first);
  const file = await makeFile(first, root, "file", "content");
  const fuzzer = new Fuzzer(makeSamples(root, file), [root, file], random);
  const before = process.memoryUsage();
  let client: Client = await connect(port);
  for (let sent = 0; sent < messages; sent += batchMessages) {
    if (client.isClosed) client = await connect(port);
    const batch = Array.from({ length: batchMessages }, (_, index) => fuzzer.make(index + 1));
    client.send(Buffer.concat(batch.map((message) => mark(message))));
    // A message whose header was cut may have closed the connection: that is an answer too.
    await client.call(0, Buffer.alloc(0), { xid: 0x70000000 + random(0x1000000) }).catch(() => client.closed());
    for (const record of client.records) fuzzer.learn(record, batch);
    client.records.length = 0;
    count("messages", batchMessages);
    if (defects.length > 0) throw new Error(defects[0]);
  }
  client.close();
  count("kinds of answers", fuzzer.kinds.size);
  const { heapUsed, external } = process.memoryUsage();
  const grown = heapUsed + external - before.heapUsed - before.external;
  if (grown > maxGrowthBytes) throw new Error(`${grown} bytes more than before ${messages} messages`);
  if (union.getAttributes(union.rootId).id !== union.rootId) throw new Error("the root is gone");
}

class Fuzzer {
  readonly kinds = new Set<string>();
  readonly #corpus: Buffer[];
  readonly #handles: Buffer[];
  readonly #random: Random;

  constructor(samples: Buffer[], handles: Buffer[], random: Random) {
    this.#corpus = samples;
    this.#handles = handles;
    this.#random = random;
  }

  make(xid: number): Buffer {
    const message = mutate(choose(this.#random, this.#corpus), this.#random);
    if (this.#random(4) === 0) this.#placeHandle(message);
    if (message.length >= 4) message.writeUInt32BE(xid);
    return message;
  }

  /** Keeps what was answered in a new way, and the handles in it. */
  learn(record: Buffer, batch: readonly Buffer[]): void {
    const message = batch[record.readUInt32BE() - 1];
    if (message === undefined || message.length < 24) return;
    const status = record.length >= 28 ? record.readUInt32BE(24) : -1;
    const [program, procedure] = [message.readUInt32BE(12), message.readUInt32BE(20)];
    const kind = [
      program,
      procedure,
      record.subarray(8, 24).toString("hex"),
      status,
      Math.log2(record.length) | 0,
    ].join();
    if (!this.kinds.has(kind)) {
      this.kinds.add(kind);
      if (this.#corpus.length < maxCorpus) this.#corpus.push(message);
      else this.#corpus[24 + this.#random(maxCorpus - 24)] = message;
    }
    const at = record.indexOf(this.#handles[0].subarray(0, 8), 24);
    if (status !== 0 || at < 0 || at + handleBytes > record.length) return;
    const handle = Buffer.from(record.subarray(at, at + handleBytes));
    if (this.#handles.length < 64) this.#handles.push(handle);
    else this.#handles[2 + this.#random(62)] = handle;
  }

  /** Puts another handle in the place of one. */
  #placeHandle(message: Buffer): void {
    const at = message.indexOf(this.#handles[0].subarray(0, 8));
    if (at >= 0 && at + handleBytes <= message.length) choose(this.#random, this.#handles).copy(message, at);
  }
}

/** One of each call. */
function makeSamples(root: Buffer, file: Buffer): Buffer[] {
  const sattr = attributes({ mode: 0o644, uid: 1, gid: 2, size: 3, accessed: "now", modified: [1, 2] });
  const args: [number, Buffer, number?][] = [
    [nfs.getattr, encode().opaque(file).take()],
    [nfs.setattr, encode().opaque(file).raw(sattr).u32(1).u32(1).u32(1).take()],
    [nfs.lookup, encode().opaque(root).string("file").take()],
    [nfs.access, encode().opaque(file).u32(63).take()],
    [nfs.readlink, encode().opaque(file).take()],
    [nfs.read, encode().opaque(file).u64(0).u32(4096).take()],
    [nfs.write, encode().opaque(file).u64(0).u32(8).u32(0).string("12345678").take()],
    [nfs.create, encode().opaque(root).string("c").u32(0).raw(sattr).take()],
    [nfs.create, encode().opaque(root).string("e").u32(2).u64(7).take()],
    [nfs.mkdir, encode().opaque(root).string("d").raw(sattr).take()],
    [nfs.symlink, encode().opaque(root).string("s").raw(attributes()).string("target").take()],
    [nfs.mknod, encode().opaque(root).string("n").u32(3).raw(attributes()).u32(1).u32(2).take()],
    [nfs.remove, encode().opaque(root).string("c").take()],
    [nfs.rmdir, encode().opaque(root).string("d").take()],
    [nfs.rename, encode().opaque(root).string("c").opaque(root).string("r").take()],
    [nfs.link, encode().opaque(file).opaque(root).string("l").take()],
    [nfs.readdir, encode().opaque(root).u64(0).u64(0).u32(4096).take()],
    [nfs.readdirplus, encode().opaque(root).u64(0).u64(0).u32(4096).u32(8192).take()],
    [nfs.fsstat, encode().opaque(root).take()],
    [nfs.fsinfo, encode().opaque(root).take()],
    [nfs.pathconf, encode().opaque(root).take()],
    [nfs.commit, encode().opaque(file).u64(0).u32(0).take()],
    [1, encode().string("/").take(), 100005],
    [3, encode().u32(100003).u32(3).u32(6).u32(0).take(), 100000],
  ];
  return args.map(([procedure, bytes, program]) =>
    encodeCall(procedure, bytes, { xid: 1, program, version: program === 100000 ? 2 : 3 }),
  );
}

/** Flips bytes, sets words to telling values, cuts, extends: the last byte of some, the header of others. */
function mutate(message: Buffer, random: Random): Buffer {
  let mutated = Buffer.from(message);
  const telling = [0, 1, 2, 3, 0x7fffffff, 0x80000000, 0xfffffffc, 0xffffffff, 1 << 20, 400, 64];
  for (let times = random(3); times >= 0; times--) {
    // Mostly after the xid and message type, without which a message is only dropped.
    const word = 8 + 4 * random(Math.max(1, (mutated.length - 8) >> 2));
    switch (random(4)) {
      case 0:
        mutated[Math.min(8 + random(mutated.length), mutated.length - 1)] ^= 1 << random(8);
        break;
      case 1:
        if (word + 4 <= mutated.length) mutated.writeUInt32BE(telling[random(telling.length)], word);
        break;
      case 2:
        // Rarely within the header, which closes the connection.
        mutated = mutated.subarray(0, Math.max(random(100) === 0 ? 24 : 72, random(mutated.length)));
        break;
      default:
        mutated = Buffer.concat([mutated, Buffer.alloc(random(64), random(256))]);
    }
  }
  return mutated;
}
