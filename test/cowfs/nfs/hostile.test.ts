/** What a hostile guest tries at its export: handles that are not its own, names of any bytes, very many connections, slow ones. */
import { randomBytes } from "node:crypto";
import test from "ava";
import { Handles } from "../../../cowfs/nfs/handles.ts";
import { viewMemory, XdrWriter } from "../../../cowfs/nfs/xdr.ts";
import { root } from "../posix-rules/world.ts";
import { type Client, encodeCall, mark, nfs } from "./client.ts";
import { type Encoder, encode } from "./encoder.ts";
import { makeFile, serveExport, serveModel } from "./fixture.ts";
import { createGate } from "./gate.ts";
import { attributes, readAttributes, readListing } from "./results.ts";

const stale = 70;
const badHandle = 10001;
const noChange = attributes();
const data = Buffer.from("data");

/** Every procedure that takes a handle, with the one under trial in each place where it takes one. */
const places: Readonly<Record<string, readonly [number, (bad: Buffer, good: Buffer) => Encoder]>> = {
  GETATTR: [nfs.getattr, (bad) => encode().opaque(bad)],
  SETATTR: [nfs.setattr, (bad) => encode().opaque(bad).raw(noChange).u32(0)],
  LOOKUP: [nfs.lookup, (bad) => encode().opaque(bad).string("name")],
  ACCESS: [nfs.access, (bad) => encode().opaque(bad).u32(0x3f)],
  READLINK: [nfs.readlink, (bad) => encode().opaque(bad)],
  READ: [nfs.read, (bad) => encode().opaque(bad).u64(0).u32(10)],
  WRITE: [nfs.write, (bad) => encode().opaque(bad).u64(0).u32(data.length).u32(0).opaque(data)],
  CREATE: [nfs.create, (bad) => encode().opaque(bad).string("name").u32(0).raw(noChange)],
  MKDIR: [nfs.mkdir, (bad) => encode().opaque(bad).string("name").raw(noChange)],
  SYMLINK: [nfs.symlink, (bad) => encode().opaque(bad).string("name").raw(noChange).string("target")],
  MKNOD: [nfs.mknod, (bad) => encode().opaque(bad).string("name").u32(7).raw(noChange)],
  REMOVE: [nfs.remove, (bad) => encode().opaque(bad).string("name")],
  RMDIR: [nfs.rmdir, (bad) => encode().opaque(bad).string("name")],
  "RENAME from": [nfs.rename, (bad, good) => encode().opaque(bad).string("a").opaque(good).string("b")],
  "RENAME to": [nfs.rename, (bad, good) => encode().opaque(good).string("file").opaque(bad).string("b")],
  "LINK of": [nfs.link, (bad, good) => encode().opaque(bad).opaque(good).string("name")],
  "LINK in": [nfs.link, (bad, good) => encode().opaque(good).opaque(bad).string("name")],
  READDIR: [nfs.readdir, (bad) => encode().opaque(bad).u64(0).u64(0).u32(4096)],
  READDIRPLUS: [nfs.readdirplus, (bad) => encode().opaque(bad).u64(0).u64(0).u32(4096).u32(4096)],
  FSSTAT: [nfs.fsstat, (bad) => encode().opaque(bad)],
  FSINFO: [nfs.fsinfo, (bad) => encode().opaque(bad)],
  PATHCONF: [nfs.pathconf, (bad) => encode().opaque(bad)],
  COMMIT: [nfs.commit, (bad) => encode().opaque(bad).u64(0).u32(0)],
};

function handleOf(lineage: Buffer, key: Buffer, id: number): Buffer {
  const memory = viewMemory(Buffer.alloc(36));
  const writer = new XdrWriter();
  writer.attach(memory, 0, 36);
  new Handles(lineage, key).write(writer, id);
  return memory.bytes.subarray(4);
}

test.serial(
  "every procedure refuses, in every place, a handle that is forged, stale, another export's or none",
  async (t) => {
    const { client, root: top, fileSystem } = await serveModel(t);
    const neighbour = await serveModel(t);
    await makeFile(client, top, "file", "content");
    const removed = await makeFile(client, top, "removed");
    await client.call(nfs.remove, encode().opaque(top).string("removed"));
    const { lineage, handleKey, rootId } = fileSystem;
    const flipped = Buffer.from(top);
    flipped[31] ^= 1;
    const tried: [string, Buffer, number][] = [
      ["another export's root", neighbour.root, stale],
      ["its own lineage under a guessed key", handleOf(lineage, randomBytes(32), rootId), badHandle],
      ["another lineage under this key", handleOf(randomBytes(16), handleKey, rootId), stale],
      ["one bit of the MAC wrong", flipped, badHandle],
      ["a removed file's", removed, stale],
      ["an inode that never was", handleOf(lineage, handleKey, 2 ** 50), stale],
      ["empty", Buffer.alloc(0), badHandle],
      ["64 bytes", Buffer.alloc(64, 1), badHandle],
    ];
    const before = fileSystem.list(root, rootId, 0, 100);
    for (const [what, handle, expected] of tried) {
      for (const [place, [procedure, args]] of Object.entries(places)) {
        const status = (await client.call(procedure, args(handle, top))).u32();
        t.is(status, expected, `${place} of ${what}`);
      }
    }
    t.deepEqual(fileSystem.list(root, rootId, 0, 100), before);
  },
);

/** All bytes but `/` and NUL, none of them alone a dot. */
const byteNames = Array.from({ length: 256 }, (_, byte) => `x${String.fromCharCode(byte)}`).filter(
  (name) => !/[/\0]/.test(name),
);

test.serial("names of any bytes are kept byte for byte: made, found, listed, moved, as a link's target", async (t) => {
  const { client, root: top } = await serveModel(t);
  for (const name of byteNames) await makeFile(client, top, name);
  for (const plus of [false, true]) {
    const args = encode().opaque(top).u64(0).u64(0).u32(65536);
    const listing = readListing(
      await client.call(plus ? nfs.readdirplus : nfs.readdir, plus ? args.u32(65536) : args),
      plus,
    );
    const names = listing.entries.map(({ name }) => name);
    t.deepEqual(names.slice(2).sort(), [...byteNames].sort());
  }
  const all = byteNames.map((name) => name[1]).join("");
  const link = encode().opaque(top).string("link").raw(noChange).string(all);
  const made = await client.call(nfs.symlink, link);
  t.is(made.u32(), 0);
  const target = await client.call(nfs.readlink, encode().opaque(made.optional(() => made.opaque())!));
  t.is(target.u32(), 0);
  target.optional(readAttributes);
  t.is(target.string(), all);
  const renamed = encode().opaque(top).string(byteNames[200]).opaque(top).string(all.slice(0, 254));
  t.is((await client.call(nfs.rename, renamed)).u32(), 0);
  t.is((await client.call(nfs.lookup, encode().opaque(top).string(all.slice(0, 254)))).u32(), 0);
});

test.serial("of 3,000 connections no more than the bound are held, and whoever speaks is served", async (t) => {
  const { connect, exported } = await serveExport(t);
  const speaker = await connect();
  for (let round = 0; round < 30; round++) {
    await Promise.all(Array.from({ length: 100 }, () => connect()));
    // Silent ones make room: one that speaks after each hundred is among those that go, and comes again.
    const latest = speaker.isClosed ? await connect() : speaker;
    await latest.call(0).catch(() => undefined);
  }
  const last = await connect();
  await last.call(0);
  t.true(exported.counters.connections <= 64, `${exported.counters.connections}`);
});

const mebibyte = 1 << 20;

async function makeLargeFile(client: Client, top: Buffer): Promise<Buffer> {
  const file = await makeFile(client, top, "large");
  const content = Buffer.alloc(mebibyte, 7);
  await client.call(nfs.write, encode().opaque(file).u64(0).u32(content.length).u32(2).opaque(content));
  return file;
}

test.serial("64 connections that ask for much and take nothing hold no more than a few answers each", async (t) => {
  const { client, root: top, connect, exported } = await serveModel(t);
  const file = await makeLargeFile(client, top);
  const slow = await Promise.all(Array.from({ length: 63 }, () => connect()));
  while (exported.counters.connections <= slow.length) await client.call(0);
  const before = process.memoryUsage().arrayBuffers;
  for (const { socket } of slow) socket.pause();
  const read = encode().opaque(file).u64(0).u32(mebibyte).take();
  for (const each of slow) for (let xid = 1; xid <= 20; xid++) each.send(mark(encodeCall(nfs.read, read, { xid })));
  let still = 0;
  for (let served = -1; still < 30; ) {
    await client.call(0);
    const count = exported.counters.byProcedure.READ;
    still = count === served ? still + 1 : 0;
    served = count;
  }
  const grown = process.memoryUsage().arrayBuffers - before;
  t.true(grown < 160 * mebibyte, `${grown}`);
  // One that takes its answers gets them all.
  slow[5].socket.resume();
  for (let xid = 1; xid <= 20; xid++) t.is((await slow[5].reply(xid)).length, 24 + 4 + 88 + 12 + mebibyte);
});

test.serial("64 connections whose large writes wait for data hold no more than their share of one bound", async (t) => {
  const gate = createGate();
  const faultOnWrite = () => (gate.isOpen ? [] : [gate.need]);
  const { client, root: top, connect, exported } = await serveModel(t, { model: { faultOnWrite } });
  const file = await makeFile(client, top, "file");
  const others = await Promise.all(Array.from({ length: 62 }, () => connect()));
  while (exported.counters.connections <= others.length) await client.call(0);
  const content = Buffer.alloc(mebibyte / 4, 7);
  const write = encode().opaque(file).u64(0).u32(content.length).u32(0).opaque(content).take();
  // Numbers of their own, or they would be one client's that repeats itself.
  const numbers = (index: number) => Array.from({ length: 8 }, (_, i) => 1000 * index + i + 1);
  for (const [index, each] of others.entries())
    for (const xid of numbers(index)) each.send(mark(encodeCall(nfs.write, write, { xid })));
  let still = 0;
  for (let waiting = -1; still < 30; ) {
    await client.call(0);
    const count = exported.counters.waiting;
    still = count === waiting ? still + 1 : 0;
    waiting = count;
  }
  // Four to five quarters of a MiB each.
  t.true(exported.counters.waiting <= others.length * 5, `${exported.counters.waiting}`);
  gate.open();
  for (const [index, each] of others.entries())
    for (const xid of numbers(index)) t.is((await each.reply(xid)).readUInt32BE(24), 0);
});

test.serial(
  "connections that announce a large record and send it byte by byte cost little and hinder nobody",
  async (t) => {
    const { client, connect, exported } = await serveModel(t);
    const slow = await Promise.all(Array.from({ length: 60 }, () => connect()));
    const announced = Buffer.alloc(4);
    announced.writeUInt32BE((0x80000000 + mebibyte) >>> 0);
    for (const each of slow) each.send(announced);
    const started = performance.now();
    for (let round = 0; round < 50; round++) {
      for (const each of slow) each.send(Buffer.from([round]));
      await client.call(0);
    }
    t.true(performance.now() - started < 5000);
    t.is(exported.counters.connections, 61);
    for (const each of slow) each.socket.end();
    while (exported.counters.connections > 1) await client.call(0);
  },
);
