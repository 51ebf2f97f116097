import test from "ava";
import { encodeCall, mark, nfs } from "./client.ts";
import { encode } from "./encoder.ts";
import { makeFile, serveExport, serveModel } from "./fixture.ts";
import { createGate } from "./gate.ts";
import { readAttributes } from "./results.ts";

function readCall(file: Buffer, xid: number, count = 1 << 20): Buffer {
  return mark(encodeCall(nfs.read, encode().opaque(file).u64(0).u32(count).take(), { xid }));
}

test("a client that asks and does not take its answers stops being read, and gets all of them once it does", async (t) => {
  const { client, root, fileSystem, exported, connect } = await serveModel(t);
  const file = await makeFile(client, root, "file");
  const attributes = await client.call(nfs.getattr, encode().opaque(file));
  attributes.u32();
  const { id } = readAttributes(attributes);
  fileSystem.transact(undefined, () => {
    fileSystem.write({ uid: 0, gid: 0, groups: [] }, id, 0, Buffer.alloc(1 << 20, 7));
    return Buffer.alloc(0);
  });
  const calls = 40;
  client.socket.pause();
  for (let xid = 1; xid <= calls; xid++) client.send(readCall(file, xid));
  const other = await connect();
  let served = 0;
  let still = 0;
  while (still < 50) {
    await other.call(0);
    const count = exported.counters.byProcedure.READ;
    still = count === served ? still + 1 : 0;
    served = count;
  }
  t.true(served < 30, `${served} were run`);
  client.socket.resume();
  for (let xid = 1; xid <= calls; xid++) t.is((await client.reply(xid)).length, 24 + 4 + 88 + 12 + (1 << 20));
});

test("no more than 256 requests of a connection wait, the rest is not read until some are done", async (t) => {
  const gate = createGate();
  const faultOnRead = () => (gate.isOpen ? [] : [gate.need]);
  const { client, root, connect, exported } = await serveModel(t, { model: { faultOnRead } });
  const file = await makeFile(client, root, "file", "content");
  const calls = 1000;
  client.send(Buffer.concat(Array.from({ length: calls }, (_, i) => readCall(file, i + 1))));
  const other = await connect();
  while (exported.counters.waiting < 256) await other.call(0);
  for (let i = 0; i < 50; i++) await other.call(0);
  t.is(exported.counters.waiting, 256);
  gate.open();
  for (let xid = 1; xid <= calls; xid++) t.is((await client.reply(xid)).readUInt32BE(24), 0);
  t.is(exported.counters.waiting, 0);
});

test("a connection that floods does not keep another from being served", async (t) => {
  const { client, root, connect } = await serveModel(t);
  const flood = Buffer.concat(
    Array.from({ length: 20_000 }, (_, i) =>
      mark(encodeCall(nfs.getattr, encode().opaque(root).take(), { xid: i + 1 })),
    ),
  );
  const other = await connect();
  client.send(flood);
  await client.reply(1);
  let answered = 0;
  for (; !client.records.some((record) => record.readUInt32BE() === 20_000); answered++) await other.call(0);
  t.true(answered >= 3, `${answered}`);
});

test("what a closed connection had queued is not executed", async (t) => {
  const gate = createGate();
  const faultOnRead = () => (gate.isOpen ? [] : [gate.need]);
  const { client, root, connect, exported } = await serveModel(t, { model: { faultOnRead } });
  const file = await makeFile(client, root, "file", "content");
  // The reads block the connection, the MKDIR behind them is received and not run.
  const reads = Array.from({ length: 256 }, (_, i) => readCall(file, i + 1));
  const args = encode().opaque(root).string("late").raw(Buffer.alloc(24)).take();
  client.send(Buffer.concat([...reads, mark(encodeCall(nfs.mkdir, args, { xid: 999 }))]));
  const other = await connect();
  while (exported.counters.waiting < 256) await other.call(0);
  client.socket.resetAndDestroy();
  while (exported.counters.connections > 1) await other.call(0);
  gate.open();
  await other.call(0);
  t.false("MKDIR" in exported.counters.byProcedure);
  t.is((await other.call(nfs.lookup, encode().opaque(root).string("late"))).u32(), 2);
});

test("the connection that was silent longest makes room for a new one", async (t) => {
  const { connect, exported } = await serveExport(t, { maxConnections: 3 });
  const clients = [await connect(), await connect(), await connect()];
  for (const client of clients) await client.call(0);
  await clients[0].call(0);
  const fourth = await connect();
  await fourth.call(0);
  await clients[1].closed();
  await clients[0].call(0);
  await clients[2].call(0);
  t.is(exported.counters.connections, 3);
});

test("closing the export cuts every connection and runs nothing more", async (t) => {
  const gate = createGate();
  const faultOnRead = () => (gate.isOpen ? [] : [gate.need]);
  const { client, root, exported, connect } = await serveModel(t, { model: { faultOnRead } });
  const file = await makeFile(client, root, "file", "content");
  client.send(readCall(file, 1));
  await gate.asked();
  exported.close();
  await client.closed();
  t.is(gate.aborted, 1);
  t.like(exported.counters, { waiting: 0, connections: 0 });
  await (await connect()).closed();
});

test("counters say what came and went", async (t) => {
  const { client, exported } = await serveModel(t);
  const before = exported.counters;
  const request = mark(encodeCall(0, Buffer.alloc(0), { xid: 5 }));
  client.send(request);
  await client.reply(5);
  const after = exported.counters;
  t.is(after.requests, before.requests + 1);
  t.is(after.bytesReceived, before.bytesReceived + request.length);
  t.is(after.bytesSent, before.bytesSent + 28);
  t.is(after.byProcedure.NULL, 1);
});
