import test from "ava";
import { type Client, type Credential, encodeCall, mark, nfs } from "./client.ts";
import { encode } from "./encoder.ts";
import { makeFile, serveModel } from "./fixture.ts";
import { createGate } from "./gate.ts";
import { attributes, readAttributes } from "./results.ts";

const root: Credential = { uid: 0, gid: 0 };

async function repeat(client: Client, procedure: number, args: Buffer, xid: number, nth: number, as = root) {
  client.send(mark(encodeCall(procedure, args, { xid, as })));
  return client.reply(xid, nth);
}

/** Each changes something that a second run would refuse or change again. */
const changes: [string, number, (root: Buffer, file: Buffer) => Buffer][] = [
  [
    "SETATTR",
    nfs.setattr,
    (_root, file) =>
      encode()
        .opaque(file)
        .raw(attributes({ modified: "now" }))
        .u32(0)
        .take(),
  ],
  ["WRITE", nfs.write, (_root, file) => encode().opaque(file).u64(0).u32(1).u32(0).string("x").take()],
  ["CREATE", nfs.create, (root) => encode().opaque(root).string("new").u32(1).raw(attributes()).take()],
  ["MKDIR", nfs.mkdir, (root) => encode().opaque(root).string("new").raw(attributes()).take()],
  ["SYMLINK", nfs.symlink, (root) => encode().opaque(root).string("new").raw(attributes()).string("to").take()],
  ["MKNOD", nfs.mknod, (root) => encode().opaque(root).string("new").u32(7).raw(attributes()).take()],
  ["REMOVE", nfs.remove, (root) => encode().opaque(root).string("file").take()],
  ["RMDIR", nfs.rmdir, (root) => encode().opaque(root).string("dir").take()],
  ["RENAME", nfs.rename, (root) => encode().opaque(root).string("file").opaque(root).string("new").take()],
  ["LINK", nfs.link, (root, file) => encode().opaque(file).opaque(root).string("new").take()],
];

for (const [name, procedure, args] of changes) {
  test(`${name} sent again gets its first reply: on its connection, on another, from another server process`, async (t) => {
    const { client, root, connect, fileSystem, exported } = await serveModel(t);
    const file = await makeFile(client, root, "file");
    await client.call(nfs.mkdir, encode().opaque(root).string("dir").raw(attributes()));
    const call = args(root, file);
    const first = await repeat(client, procedure, call, 99, 0);
    t.is(first.readUInt32BE(24), 0);
    t.deepEqual(await repeat(client, procedure, call, 99, 1), first);
    t.deepEqual(await repeat(await connect(), procedure, call, 99, 0), first);
    t.is(exported.counters.repeats, 2);

    const restarted = await serveModel(t, { fileSystem });
    t.deepEqual(await repeat(restarted.client, procedure, call, 99, 0), first);
    const anotherXid = await repeat(client, procedure, call, 100, 0);
    t.notDeepEqual(anotherXid.subarray(4), first.subarray(4));
  });
}

test("a failure is repeated too, although what made it fail is gone", async (t) => {
  const { client, root } = await serveModel(t);
  const remove = encode().opaque(root).string("file").take();
  const first = await repeat(client, nfs.remove, remove, 99, 0);
  t.is(first.readUInt32BE(24), 2);
  await makeFile(client, root, "file");
  t.deepEqual(await repeat(client, nfs.remove, remove, 99, 1), first);
  t.is((await repeat(client, nfs.remove, remove, 100, 0)).readUInt32BE(24), 0);
});

test("another user, other arguments, or another life of the guest make another request", async (t) => {
  const { client, root: directory, exported } = await serveModel(t);
  const file = await makeFile(client, directory, "file");
  const write = (text: string) => encode().opaque(file).u64(0).u32(text.length).u32(0).string(text).take();
  const first = await repeat(client, nfs.write, write("a"), 99, 0);
  t.notDeepEqual(await repeat(client, nfs.write, write("b"), 99, 1), first);
  t.is((await repeat(client, nfs.write, write("a"), 99, 2, { uid: 5, gid: 5 })).readUInt32BE(24), 13);
  exported.startEpoch(2);
  t.notDeepEqual(await repeat(client, nfs.write, write("a"), 99, 3), first);
  t.is(exported.counters.repeats, 0);
});

test("a request under way is not started again, and its reply goes to where it was asked last", async (t) => {
  const gate = createGate();
  const faultOnWrite = () => (gate.isOpen ? [] : [gate.need]);
  const { client, root, connect, exported } = await serveModel(t, { model: { faultOnWrite } });
  gate.open();
  const file = await makeFile(client, root, "file");
  gate.close();
  const write = encode().opaque(file).u64(0).u32(1).u32(0).string("x").take();
  const message = mark(encodeCall(nfs.write, write, { xid: 99 }));
  client.send(message);
  client.send(message);
  await gate.asked();
  const other = await connect();
  other.send(message);
  while (exported.counters.repeats < 2) await other.call(0);
  t.is(exported.counters.waiting, 1);
  client.close();
  gate.open();
  t.is((await other.reply(99)).readUInt32BE(24), 0);
  await other.call(0);
  t.is(other.records.filter((record) => record.readUInt32BE() === 99).length, 1);
  t.is(gate.bringings, 1);
});

test("idempotent requests are answered anew each time", async (t) => {
  const { client, root } = await serveModel(t);
  const before = await repeat(client, nfs.getattr, encode().opaque(root).take(), 99, 0);
  await makeFile(client, root, "file");
  t.notDeepEqual(await repeat(client, nfs.getattr, encode().opaque(root).take(), 99, 1), before);
  const results = await client.call(nfs.getattr, encode().opaque(root));
  t.is(results.u32(), 0);
  t.is(readAttributes(results).type, 2);
});
