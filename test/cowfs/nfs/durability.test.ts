import { setTimeout as delay } from "node:timers/promises";
import test from "ava";
import { encodeCall, mark, nfs } from "./client.ts";
import { encode } from "./encoder.ts";
import { makeFile, serveModel } from "./fixture.ts";
import { attributes } from "./results.ts";

/** A disk whose syncs end when the test says so. */
function createDisk() {
  const syncs: PromiseWithResolvers<void>[] = [];
  let isSlow = false;
  let ended = 0;
  return {
    syncs,
    /** Syncs that ended at once. */
    get ended() {
      return ended;
    },
    slow() {
      isSlow = true;
    },
    onSync() {
      if (!isSlow) {
        ended++;
        return undefined;
      }
      const sync = Promise.withResolvers<void>();
      syncs.push(sync);
      return sync.promise;
    },
  };
}

type MakeArguments = (root: Buffer, file: Buffer) => Buffer;
const write =
  (stable: number): MakeArguments =>
  (_root, file) =>
    encode().opaque(file).u64(0).u32(1).u32(stable).string("x").take();

/** What waits for stable storage, and what does not. */
const table: [string, number, MakeArguments, boolean][] = [
  [
    "SETATTR",
    nfs.setattr,
    (_root, file) =>
      encode()
        .opaque(file)
        .raw(attributes({ mode: 1 }))
        .u32(0)
        .take(),
    true,
  ],
  ["CREATE", nfs.create, (root) => encode().opaque(root).string("new").u32(0).raw(attributes()).take(), true],
  ["MKDIR", nfs.mkdir, (root) => encode().opaque(root).string("new").raw(attributes()).take(), true],
  ["SYMLINK", nfs.symlink, (root) => encode().opaque(root).string("new").raw(attributes()).string("to").take(), true],
  ["MKNOD", nfs.mknod, (root) => encode().opaque(root).string("new").u32(7).raw(attributes()).take(), true],
  ["REMOVE", nfs.remove, (root) => encode().opaque(root).string("file").take(), true],
  ["RMDIR", nfs.rmdir, (root) => encode().opaque(root).string("dir").take(), true],
  ["RENAME", nfs.rename, (root) => encode().opaque(root).string("file").opaque(root).string("new").take(), true],
  ["LINK", nfs.link, (root, file) => encode().opaque(file).opaque(root).string("new").take(), true],
  ["COMMIT", nfs.commit, (_root, file) => encode().opaque(file).u64(0).u32(0).take(), true],
  ["a FILE_SYNC WRITE", nfs.write, write(2), true],
  ["a DATA_SYNC WRITE", nfs.write, write(1), true],
  ["an UNSTABLE WRITE", nfs.write, write(0), false],
];

for (const [name, procedure, args, waits] of table) {
  test(`${name} is answered ${waits ? "when it is on stable storage, and not before" : "without waiting for a sync"}`, async (t) => {
    const disk = createDisk();
    const { client, root, exported } = await serveModel(t, { model: { onSync: disk.onSync } });
    const file = await makeFile(client, root, "file");
    await client.call(nfs.mkdir, encode().opaque(root).string("dir").raw(attributes()));
    disk.slow();
    client.send(mark(encodeCall(procedure, args(root, file), { xid: 99 })));
    if (waits) {
      while (disk.syncs.length === 0) await client.call(0);
      await client.call(nfs.getattr, encode().opaque(root));
      t.false(client.records.some((record) => record.readUInt32BE() === 99));
      t.is(exported.counters.waiting, 1);
      disk.syncs[0].resolve();
    }
    t.is((await client.reply(99)).readUInt32BE(24), 0);
    t.is(disk.syncs.length, waits ? 1 : 0);
  });
}

const promised = ["COMMIT", "a FILE_SYNC WRITE", "a DATA_SYNC WRITE"];
for (const [name, procedure, args] of table.filter(([name]) => !promised.includes(name)))
  test(`where the export is unsafeAsync, ${name} is answered at once, and a sync begins all the same`, async (t) => {
    const disk = createDisk();
    const { client, root } = await serveModel(t, { model: { onSync: disk.onSync }, unsafeAsync: true });
    const file = await makeFile(client, root, "file");
    await client.call(nfs.mkdir, encode().opaque(root).string("dir").raw(attributes()));
    while (disk.ended === 0) await delay(20);
    disk.slow();
    client.send(mark(encodeCall(procedure, args(root, file), { xid: 99 })));
    t.is((await client.reply(99)).readUInt32BE(24), 0);
    while (disk.syncs.length === 0) await delay(20);
    t.pass();
  });

for (const [name, procedure, args] of table.filter(([name]) => promised.includes(name)))
  test(`where the export is unsafeAsync, ${name} waits for stable storage all the same`, async (t) => {
    const disk = createDisk();
    const { client, root } = await serveModel(t, { model: { onSync: disk.onSync }, unsafeAsync: true });
    const file = await makeFile(client, root, "file");
    disk.slow();
    client.send(mark(encodeCall(procedure, args(root, file), { xid: 99 })));
    while (disk.syncs.length === 0) await client.call(0);
    await client.call(nfs.getattr, encode().opaque(root));
    t.false(client.records.some((record) => record.readUInt32BE() === 99));
    for (const sync of disk.syncs) sync.resolve();
    t.is((await client.reply(99)).readUInt32BE(24), 0);
  });

test("where the export is unsafeAsync, a sync that fails later closes it as ever", async (t) => {
  const disk = createDisk();
  const failures: unknown[] = [];
  const { client, root, exported } = await serveModel(t, {
    model: { onSync: disk.onSync },
    unsafeAsync: true,
    onFailed: (error) => failures.push(error),
  });
  disk.slow();
  await makeFile(client, root, "file");
  while (disk.syncs.length === 0) await client.call(0);
  disk.syncs[0].reject(new Error("the disk fails"));
  await client.closed();
  t.is(failures.length, 1);
  t.true(exported.isClosed);
});

test("one sync serves all that wait for it in a turn", async (t) => {
  const disk = createDisk();
  const { client, root, connect } = await serveModel(t, { model: { onSync: disk.onSync } });
  const other = await connect();
  disk.slow();
  const create = (name: string, xid: number) =>
    mark(encodeCall(nfs.create, encode().opaque(root).string(name).u32(0).raw(attributes()).take(), { xid }));
  client.send(Buffer.concat([create("a", 1), create("b", 2), create("c", 3)]));
  while (disk.syncs.length === 0) await other.call(0);
  t.is(disk.syncs.length, 1);
  disk.syncs[0].resolve();
  for (const xid of [1, 2, 3]) t.is((await client.reply(xid)).readUInt32BE(24), 0);
});

test("a repeated request waits for stable storage as the first did", async (t) => {
  const disk = createDisk();
  const { client, root, connect } = await serveModel(t, { model: { onSync: disk.onSync } });
  disk.slow();
  const args = encode().opaque(root).string("new").u32(1).raw(attributes()).take();
  const message = mark(encodeCall(nfs.create, args, { xid: 99 }));
  client.send(message);
  const other = await connect();
  while (disk.syncs.length === 0) await other.call(0);
  client.close();
  // The first connection is gone, and its reply with it.
  await other.call(0);
  other.send(message);
  while (disk.syncs.length === 1 && !other.records.some((record) => record.readUInt32BE() === 99)) await other.call(0);
  for (const sync of disk.syncs) sync.resolve();
  t.is((await other.reply(99)).readUInt32BE(24), 0);
});

test("a failed flush lets no reply out, cuts the connections and closes the export, once", async (t) => {
  let refuses = false;
  const failures: unknown[] = [];
  const onFlush = () => {
    if (refuses) throw new Error("the disk refuses");
  };
  const { client, root, exported, connect } = await serveModel(t, {
    model: { onFlush },
    onFailed: (error) => failures.push(error),
  });
  const other = await connect();
  refuses = true;
  const args = encode().opaque(root).string("new").u32(0).raw(attributes()).take();
  client.send(mark(encodeCall(nfs.create, args, { xid: 99 })));
  await Promise.all([client.closed(), other.closed()]);
  t.false(client.records.some((record) => record.readUInt32BE() === 99));
  t.is(failures.length, 1);
  t.true(exported.isClosed);
  const late = await connect();
  await late.closed();
  t.is(failures.length, 1);
});

test("a failed sync lets no reply out that waited for it, and closes the export", async (t) => {
  const disk = createDisk();
  const failures: unknown[] = [];
  const { client, root } = await serveModel(t, {
    model: { onSync: disk.onSync },
    onFailed: (error) => failures.push(error),
  });
  const file = await makeFile(client, root, "file");
  disk.slow();
  client.send(mark(encodeCall(nfs.commit, encode().opaque(file).u64(0).u32(0).take(), { xid: 99 })));
  while (disk.syncs.length === 0) await client.call(0);
  disk.syncs[0].reject(new Error("the disk fails"));
  await client.closed();
  t.false(client.records.some((record) => record.readUInt32BE() === 99));
  t.is(failures.length, 1);
});

test("the write verifier is the same in WRITE and COMMIT, and over a restart of the server", async (t) => {
  const { client, root, fileSystem } = await serveModel(t);
  const file = await makeFile(client, root, "file");
  const verifiers = new Set<string>();
  const record = (results: { raw(length: number): Buffer; left: number }) => {
    results.raw(results.left - 8);
    verifiers.add(results.raw(8).toString("hex"));
  };
  for (const { client: one } of [{ client }, await serveModel(t, { fileSystem })]) {
    record(await one.call(nfs.write, encode().opaque(file).u64(0).u32(1).u32(0).string("x")));
    record(await one.call(nfs.commit, encode().opaque(file).u64(0).u32(0)));
  }
  t.is(verifiers.size, 1);
});
