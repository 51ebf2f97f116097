import test from "ava";
import { encodeCall, mark, nfs } from "./client.ts";
import { encode } from "./encoder.ts";
import { makeFile, serveModel } from "./fixture.ts";
import { createGate } from "./gate.ts";
import { readAttributes } from "./results.ts";

const jukebox = 10008;

function read(file: Buffer): Buffer {
  return encode().opaque(file).u64(0).u32(100).take();
}

test("a read whose data is not here waits for it, and others go on", async (t) => {
  const gate = createGate();
  const faultOnRead = () => (gate.isOpen ? [] : [gate.need]);
  const { client, root, exported } = await serveModel(t, { model: { faultOnRead } });
  const file = await makeFile(client, root, "file", "content");
  const reading = Promise.all([client.call(nfs.read, read(file)), client.call(nfs.read, read(file))]);
  await gate.asked();
  t.is((await client.call(nfs.getattr, encode().opaque(file))).u32(), 0);
  t.is(exported.counters.waiting, 2);
  gate.open();
  for (const results of await reading) {
    t.is(results.u32(), 0);
    results.optional(readAttributes);
    t.deepEqual([results.u32(), results.u32(), results.string()], [7, 1, "content"]);
  }
  t.is(gate.bringings, 1);
  t.is(exported.counters.waiting, 0);
});

test("a request that faults again after its need came waits again", async (t) => {
  const gates = [createGate("first"), createGate("second")];
  const faultOnRead = () =>
    gates
      .filter((gate) => !gate.isOpen)
      .slice(0, 1)
      .map((gate) => gate.need);
  const { client, root } = await serveModel(t, { model: { faultOnRead } });
  const file = await makeFile(client, root, "file", "content");
  const reading = client.call(nfs.read, read(file));
  for (const gate of gates) {
    await gate.asked();
    gate.open();
  }
  t.is((await reading).u32(), 0);
});

test("the permission check is made again when the data has come", async (t) => {
  const gate = createGate();
  const faultOnRead = () => (gate.isOpen ? [] : [gate.need]);
  const { client, root, fileSystem } = await serveModel(t, { model: { faultOnRead } });
  const file = await makeFile(client, root, "file", "content");
  const reading = client.call(nfs.read, read(file), { as: { uid: 5, gid: 5 } });
  await gate.asked();
  const { id } = readAttributesOf(await client.call(nfs.getattr, encode().opaque(file)));
  fileSystem.transact(undefined, () => {
    fileSystem.setAttributes({ uid: 0, gid: 0, groups: [] }, id, { mode: 0o600 });
    return Buffer.alloc(0);
  });
  gate.open();
  t.is((await reading).u32(), 13);
});

test("a write that waits too long is answered JUKEBOX, and never done when its need comes after that", async (t) => {
  const gate = createGate();
  const faultOnWrite = () => (gate.isOpen ? [] : [gate.need]);
  const { client, root, exported } = await serveModel(t, { model: { faultOnWrite }, jukeboxMs: 50 });
  const file = await makeFile(client, root, "file");
  const write = encode().opaque(file).u64(0).u32(1).u32(0).string("x");
  t.is((await client.call(nfs.write, write)).u32(), jukebox);
  t.is(gate.aborted, 1);
  gate.open();
  await client.call(0);
  const attributes = readAttributesOf(await client.call(nfs.getattr, encode().opaque(file)));
  t.is(attributes.size, 0);
  t.is((await client.call(nfs.write, write)).u32(), 0);
  t.like(exported.counters, { waiting: 0, jukebox: 1 });
});

test("a closed connection gives up what it waited for", async (t) => {
  const gate = createGate();
  const faultOnWrite = () => (gate.isOpen ? [] : [gate.need]);
  const { client, root, connect, exported } = await serveModel(t, { model: { faultOnWrite } });
  const file = await makeFile(client, root, "file");
  client.send(mark(encodeCall(nfs.write, encode().opaque(file).u64(0).u32(1).u32(0).string("x").take(), { xid: 9 })));
  await gate.asked();
  client.close();
  const other = await connect();
  while (exported.counters.waiting > 0) await other.call(0);
  t.is(gate.aborted, 1);
  gate.open();
  await other.call(0);
  t.is(readAttributesOf(await other.call(nfs.getattr, encode().opaque(file))).size, 0);
});

test("a need that one of two waits for is brought on when the other gives up", async (t) => {
  const gate = createGate();
  const faultOnRead = () => (gate.isOpen ? [] : [gate.need]);
  const { client, root, connect, exported } = await serveModel(t, { model: { faultOnRead } });
  const file = await makeFile(client, root, "file", "content");
  const other = await connect();
  other.send(mark(encodeCall(nfs.read, read(file), { xid: 9 })));
  const reading = client.call(nfs.read, read(file));
  while (exported.counters.waiting < 2) await client.call(0);
  other.close();
  while (exported.counters.waiting > 1) await client.call(0);
  t.is(gate.aborted, 0);
  gate.open();
  t.is((await reading).u32(), 0);
});

for (const [ioErrorAfterMs, status] of [
  [undefined, jukebox],
  [600_000, jukebox],
  [0, 5],
] as const) {
  test(`data that cannot be had is status ${status} where EIO comes after ${ioErrorAfterMs} ms, and told`, async (t) => {
    const gate = createGate();
    const told: unknown[] = [];
    const { client, root } = await serveModel(t, {
      model: { faultOnRead: () => (gate.isOpen ? [] : [gate.need]) },
      ioErrorAfterMs,
      onFetchFailed: (procedure, error) => told.push([procedure, (error as Error).message]),
    });
    const file = await makeFile(client, root, "file", "content");
    const reading = client.call(nfs.read, read(file));
    await gate.asked();
    gate.fail(new Error("the store is down"));
    t.is((await reading).u32(), status);
    t.deepEqual(told, [["READ", "the store is down"]]);
    gate.open();
    t.is((await client.call(nfs.read, read(file))).u32(), 0);
  });
}

test("a request that faults without end is given up", async (t) => {
  const told: unknown[] = [];
  let faults = 0;
  const faultOnRead = () => [{ key: `${faults++}`, bring: async () => {} }];
  const { client, root } = await serveModel(t, { model: { faultOnRead }, onInternalError: (what) => told.push(what) });
  const file = await makeFile(client, root, "file", "content");
  t.is((await client.call(nfs.read, read(file))).u32(), 10006);
  t.is(faults, 101);
  t.deepEqual(told, ["READ"]);
});

test("MNT of a directory that has to be brought waits for it", async (t) => {
  const gate = createGate();
  const faultOnLookup = (_directory: number, name: string) => (name === "d" && !gate.isOpen ? [gate.need] : []);
  const { client, exported } = await serveModel(t, { model: { faultOnLookup } });
  const mounting = client.call(1, encode().string("/d"), { program: 100005 });
  await gate.asked();
  t.is(exported.counters.parked, 1);
  gate.open();
  t.is((await mounting).u32(), 2);
});

test("the first read of a watched file is told once", async (t) => {
  const first = await serveModel(t);
  const file = await makeFile(first.client, first.root, "file", "content");
  const { id } = readAttributesOf(await first.client.call(nfs.getattr, encode().opaque(file)));
  const told: number[] = [];
  const { client } = await serveModel(t, {
    fileSystem: first.fileSystem,
    watchFirstRead: [id],
    onFirstRead: (read) => told.push(read),
  });
  await client.call(nfs.read, read(file));
  await client.call(nfs.read, read(file));
  t.deepEqual(told, [id]);
});

function readAttributesOf(results: Parameters<typeof readAttributes>[0]) {
  if (results.u32() !== 0) throw new Error("GETATTR fails");
  return readAttributes(results);
}
