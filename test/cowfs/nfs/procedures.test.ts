import test from "ava";
import { type Client, type Credential, nfs } from "./client.ts";
import { encode } from "./encoder.ts";
import { makeFile, serveModel } from "./fixture.ts";
import { type AttributeArguments, attributes, readAttributes, readChangeData, readNewObject } from "./results.ts";

const user: Credential = { uid: 1000, gid: 1000, groups: [2000] };
const status = {
  perm: 1,
  noent: 2,
  acces: 13,
  exist: 17,
  notdir: 20,
  isdir: 21,
  inval: 22,
  fbig: 27,
  nametoolong: 63,
  notempty: 66,
  notsync: 10002,
  badtype: 10007,
};

async function setattr(
  client: Client,
  handle: Buffer,
  change: AttributeArguments,
  as?: Credential,
  guard = encode().u32(0),
) {
  return client.call(nfs.setattr, encode().opaque(handle).raw(attributes(change)).raw(guard.take()), { as });
}

async function getattr(client: Client, handle: Buffer) {
  const results = await client.call(nfs.getattr, encode().opaque(handle));
  if (results.u32() !== 0) throw new Error("GETATTR fails");
  return readAttributes(results);
}

function write(handle: Buffer, offset: number | bigint, data: string, stable = 0, count = data.length) {
  return encode().opaque(handle).u64(offset).u32(count).u32(stable).string(data);
}

async function read(client: Client, handle: Buffer, offset: number | bigint, count: number, as?: Credential) {
  const results = await client.call(nfs.read, encode().opaque(handle).u64(offset).u32(count), { as });
  const code = results.u32();
  if (code !== 0) return { status: code };
  results.optional(readAttributes);
  const returned = results.u32();
  const eof = results.u32() === 1;
  const data = results.string();
  return { status: 0, count: returned, eof, data, left: results.left };
}

test("LOOKUP finds names and dots, and says why it does not find others", async (t) => {
  const { client, root } = await serveModel(t);
  const file = await makeFile(client, root, "file");
  const look = async (directory: Buffer, name: string) => {
    const results = await client.call(nfs.lookup, encode().opaque(directory).string(name));
    const code = results.u32();
    if (code === 0) return results.opaque();
    t.not(results.optional(readAttributes), undefined);
    t.is(results.left, 0);
    return code;
  };
  t.deepEqual(await look(root, "file"), file);
  t.deepEqual(await look(root, "."), root);
  t.deepEqual(await look(root, ".."), root);
  t.is(await look(root, "none"), status.noent);
  t.is(await look(root, ""), status.noent);
  t.is(await look(root, "x".repeat(256)), status.nametoolong);
  t.is(await look(root, "a/b"), status.inval);
  t.is(await look(root, "a\0b"), status.inval);
  t.is(await look(file, "x"), status.notdir);
});

test("names that are not UTF-8 survive", async (t) => {
  const { client, root } = await serveModel(t);
  const file = await makeFile(client, root, "\xff\xfe\x80name");
  const results = await client.call(nfs.lookup, encode().opaque(root).string("\xff\xfe\x80name"));
  t.is(results.u32(), 0);
  t.deepEqual(results.opaque(), file);
});

test("READ says eof exactly at the end", async (t) => {
  const { client, root } = await serveModel(t);
  const file = await makeFile(client, root, "file", "0123456789");
  const table: [number | bigint, number, string, boolean][] = [
    [0, 10, "0123456789", true],
    [0, 9, "012345678", false],
    [0, 100, "0123456789", true],
    [9, 1, "9", true],
    [8, 1, "8", false],
    [10, 1, "", true],
    [11, 5, "", true],
    [0, 0, "", false],
    [10, 0, "", true],
    [2n ** 64n - 1n, 4096, "", true],
  ];
  for (const [offset, count, data, eof] of table) {
    const expected = { status: 0, count: data.length, eof, data, left: 0 };
    t.deepEqual(await read(client, file, offset, count), expected, `${offset} +${count}`);
  }
  const empty = await makeFile(client, root, "empty");
  t.deepEqual(await read(client, empty, 0, 10), { status: 0, count: 0, eof: true, data: "", left: 0 });
  t.deepEqual(await read(client, root, 0, 10), { status: status.inval });
});

test("READ gives a file of several MiB in pieces of at most 1 MiB", async (t) => {
  const { client, root, fileSystem } = await serveModel(t);
  const file = await makeFile(client, root, "file");
  const { id } = await getattr(client, file);
  const content = Buffer.alloc(3 * 1024 * 1024 + 7, "xenoserver");
  fileSystem.transact(undefined, () => {
    fileSystem.write({ uid: 0, gid: 0, groups: [] }, id, 0, content);
    return Buffer.alloc(0);
  });
  let text = "";
  for (let eof = false; !eof; ) {
    const piece = await read(client, file, text.length, 0xffffffff);
    t.true(piece.count! <= 1024 * 1024);
    text += piece.data;
    eof = piece.eof!;
  }
  t.true(content.equals(Buffer.from(text, "latin1")));
});

test("the owner reads and writes what its own mode forbids, others do not; who may execute may read", async (t) => {
  const { client, root } = await serveModel(t);
  const file = await makeFile(client, root, "file", "data");
  await setattr(client, file, { mode: 0, uid: user.uid, gid: user.gid });
  t.is((await read(client, file, 0, 4, user)).data, "data");
  t.is((await client.call(nfs.write, write(file, 0, "DATA"), { as: user })).u32(), 0);
  const other = { uid: 1001, gid: 1001 };
  t.is((await read(client, file, 0, 4, other)).status, status.acces);
  t.is((await client.call(nfs.write, write(file, 0, "x"), { as: other })).u32(), status.acces);
  await setattr(client, file, { mode: 0o711 });
  t.is((await read(client, file, 0, 4, other)).data, "DATA");
});

test("WRITE reports the change it made, and refuses what cannot be", async (t) => {
  const { client, root } = await serveModel(t);
  const file = await makeFile(client, root, "file", "before");
  const atFirst = await getattr(client, file);
  const results = await client.call(nfs.write, write(file, 4, "abcdef"));
  t.is(results.u32(), 0);
  const change = readChangeData(results);
  t.deepEqual(change.before, { size: 6, modified: atFirst.modified, changed: atFirst.changed });
  t.is(change.after?.size, 10);
  t.deepEqual([results.u32(), results.u32()], [6, 0]);
  t.is(results.raw(8).length, 8);
  t.is((await read(client, file, 0, 100)).data, "befoabcdef");

  const refused = async (args: ReturnType<typeof write>) => (await client.call(nfs.write, args)).u32();
  t.is(await refused(write(file, 2n ** 63n - 1n, "x")), status.fbig);
  t.is(await refused(write(file, 2n ** 64n - 1n, "x")), status.fbig);
  t.is(await refused(write(file, 0, "x", 3)), status.inval);
  t.is(await refused(write(file, 0, "x", 0, 2)), status.inval);
  t.is(await refused(write(root, 0, "x")), status.inval);
  t.is((await getattr(client, file)).size, 10);
});

test("SETATTR changes each attribute, and its guard refuses a file that changed", async (t) => {
  const { client, root } = await serveModel(t);
  const file = await makeFile(client, root, "file", "content");
  const change = { mode: 0o1751, uid: 7, gid: 8, size: 3, accessed: [5, 6], modified: [7, 999_999_999] } as const;
  const results = await setattr(client, file, change);
  t.is(results.u32(), 0);
  const { before, after } = readChangeData(results);
  t.is(before?.size, 7);
  t.like(after, { mode: 0o1751, uid: 7, gid: 8, size: 3, accessed: "5.000000006", modified: "7.999999999" });

  const guard = (changed: string, other = 0) => {
    const [seconds, nanoseconds] = changed.split(".").map(Number);
    return encode()
      .u32(1)
      .u32(seconds)
      .u32(nanoseconds + other);
  };
  const { changed } = after!;
  t.is((await setattr(client, file, { size: 0 }, undefined, guard(changed, 1))).u32(), status.notsync);
  t.is((await getattr(client, file)).size, 3);
  t.is((await setattr(client, file, { size: 0 }, undefined, guard(changed))).u32(), 0);
  t.is((await getattr(client, file)).size, 0);
  t.is((await setattr(client, file, { modified: [1, 1_000_000_000] })).u32(), status.inval);
});

test("SETATTR tells EPERM and EACCES apart", async (t) => {
  const { client, root } = await serveModel(t);
  const file = await makeFile(client, root, "file");
  t.is((await setattr(client, file, { mode: 0o777 }, user)).u32(), status.perm);
  t.is((await setattr(client, file, { uid: user.uid }, user)).u32(), status.perm);
  t.is((await setattr(client, file, { size: 1 }, user)).u32(), status.acces);
  t.is((await setattr(client, file, { modified: "now" }, user)).u32(), status.acces);
  t.is((await setattr(client, file, { modified: [1, 1] }, user)).u32(), status.perm);
});

test("CREATE unchecked takes an existing file, guarded refuses it", async (t) => {
  const { client, root } = await serveModel(t);
  const file = await makeFile(client, root, "file", "content");
  const create = (how: number, change: AttributeArguments) =>
    client.call(nfs.create, encode().opaque(root).string("file").u32(how).raw(attributes(change)));
  const again = readNewObject(await create(0, { size: 0 }));
  t.deepEqual(again.handle, file);
  t.is(again.attributes.size, 0);
  const results = await create(1, {});
  t.is(results.u32(), status.exist);
  const { before, after } = readChangeData(results);
  t.is(before?.changed, after?.changed);
});

test("an exclusive CREATE is repeatable with its verifier, and only with that", async (t) => {
  const { client, root } = await serveModel(t);
  const create = (verifier: bigint) =>
    client.call(nfs.create, encode().opaque(root).string("lock").u32(2).u64(verifier));
  const { handle } = readNewObject(await create(0xfedcba9876543210n));
  t.deepEqual(readNewObject(await create(0xfedcba9876543210n)).handle, handle);
  t.is((await create(0xfedcba9876543211n)).u32(), status.exist);
});

test("MKDIR, SYMLINK, MKNOD and LINK make what they say", async (t) => {
  const { client, root } = await serveModel(t);
  const sattr = attributes({ mode: 0o750, uid: 3, gid: 4 });
  const at = (name: string) => encode().opaque(root).string(name);
  const directory = readNewObject(await client.call(nfs.mkdir, at("d").raw(sattr)));
  t.like(directory.attributes, { type: 2, mode: 0o750, uid: 3, gid: 4, links: 2 });
  t.is(directory.directory.after?.links, 3);
  const symlink = readNewObject(await client.call(nfs.symlink, at("s").raw(sattr).string("../\xfftarget")));
  t.is(symlink.attributes.type, 5);
  const target = await client.call(nfs.readlink, encode().opaque(symlink.handle));
  t.is(target.u32(), 0);
  target.optional(readAttributes);
  t.is(target.string(), "../\xfftarget");

  const special = async (name: string, what: ReturnType<typeof encode>) => {
    return readNewObject(await client.call(nfs.mknod, at(name).raw(what.take()))).attributes;
  };
  t.like(await special("b", encode().u32(3).raw(sattr).u32(8).u32(1)), { type: 3, device: [8, 1] as const });
  t.like(await special("c", encode().u32(4).raw(sattr).u32(1).u32(3)), { type: 4, device: [1, 3] as const });
  t.like(await special("socket", encode().u32(6).raw(sattr)), { type: 6 });
  t.like(await special("fifo", encode().u32(7).raw(sattr)), { type: 7, mode: 0o750 });
  t.is((await client.call(nfs.mknod, at("bad").u32(1).raw(sattr))).u32(), status.badtype);

  const file = await makeFile(client, root, "f");
  const linked = await client.call(nfs.link, encode().opaque(file).opaque(root).string("g"));
  t.is(linked.u32(), 0);
  t.is(linked.optional(readAttributes)?.links, 2);
  t.not(readChangeData(linked).before, undefined);
  t.is((await client.call(nfs.link, encode().opaque(directory.handle).opaque(root).string("h"))).u32(), status.perm);
});

test("a symlink's target of 4,095 bytes is kept, a longer or empty one refused", async (t) => {
  const { client, root } = await serveModel(t);
  const symlink = (name: string, target: string) =>
    client.call(nfs.symlink, encode().opaque(root).string(name).raw(attributes()).string(target));
  const { handle } = readNewObject(await symlink("long", "t".repeat(4095)));
  const results = await client.call(nfs.readlink, encode().opaque(handle));
  t.is(results.u32(), 0);
  results.optional(readAttributes);
  t.is(results.string().length, 4095);
  t.is((await symlink("longer", "t".repeat(4096))).u32(), status.nametoolong);
  t.is((await symlink("empty", "")).u32(), status.inval);
});

test("REMOVE, RMDIR and RENAME report both sides of the change, and refuse the dots", async (t) => {
  const { client, root } = await serveModel(t);
  await makeFile(client, root, "f");
  const made = await client.call(
    nfs.mkdir,
    encode()
      .opaque(root)
      .string("d")
      .raw(attributes({ mode: 0o755 })),
  );
  const directory = readNewObject(made).handle;
  const renamed = await client.call(nfs.rename, encode().opaque(root).string("f").opaque(directory).string("g"));
  t.is(renamed.u32(), 0);
  const from = readChangeData(renamed);
  const to = readChangeData(renamed);
  t.not(from.before?.changed, from.after?.changed);
  t.not(to.before?.changed, to.after?.changed);

  const call = async (procedure: number, name: string) => {
    const results = await client.call(procedure, encode().opaque(root).string(name));
    const code = results.u32();
    readChangeData(results);
    t.is(results.left, 0);
    return code;
  };
  t.is(await call(nfs.rmdir, "d"), status.notempty);
  t.is((await client.call(nfs.remove, encode().opaque(directory).string("g"))).u32(), 0);
  t.is(await call(nfs.remove, "none"), status.noent);
  t.is(await call(nfs.remove, "d"), status.isdir);
  t.is(await call(nfs.rmdir, "."), status.inval);
  t.is(await call(nfs.rmdir, ".."), status.exist);
  t.is(await call(nfs.rmdir, "d"), 0);
  t.is(
    (await client.call(nfs.create, encode().opaque(root).string("..").u32(0).raw(attributes()))).u32(),
    status.exist,
  );
});

test("ACCESS answers the bits that were asked for", async (t) => {
  const { client, root } = await serveModel(t);
  const file = await makeFile(client, root, "file");
  const access = async (mask: number, as: Credential) => {
    const results = await client.call(nfs.access, encode().opaque(file).u32(mask), { as });
    t.is(results.u32(), 0);
    t.not(results.optional(readAttributes), undefined);
    return results.u32();
  };
  t.is(await access(0x3f, user), 0x01);
  t.is(await access(0x0d, { uid: 0, gid: 0 }), 0x0d);
  t.is(await access(0xffffffc0, user), 0);
});

test("FSINFO, FSSTAT and PATHCONF say what the server keeps to", async (t) => {
  const { client, root } = await serveModel(t);
  const info = await client.call(nfs.fsinfo, encode().opaque(root));
  t.is(info.u32(), 0);
  info.optional(readAttributes);
  const mebi = 1024 * 1024;
  const sizes = Array.from({ length: 7 }, () => info.u32());
  t.deepEqual(sizes, [mebi, mebi, 4096, mebi, mebi, 4096, 65536]);
  t.is(info.offset(), 2n ** 63n - 1n);
  t.deepEqual([info.u32(), info.u32(), info.u32(), info.left], [0, 1, 0x1b, 0]);

  const statistics = await client.call(nfs.fsstat, encode().opaque(root));
  t.is(statistics.u32(), 0);
  statistics.optional(readAttributes);
  const [total, free] = [statistics.u64(), statistics.u64()];
  t.true(total >= free && free > 0);
  t.is(statistics.left, 4 * 8 + 4);

  const limits = await client.call(nfs.pathconf, encode().opaque(root));
  t.is(limits.u32(), 0);
  limits.optional(readAttributes);
  t.deepEqual([limits.u32(), limits.u32(), limits.u32(), limits.u32()], [65000, 255, 1, 1]);
  t.deepEqual([limits.u32(), limits.u32(), limits.left], [0, 1, 0]);
});

test("attributes before a change are those that the change found, in every one of a burst", async (t) => {
  const { client, root } = await serveModel(t);
  const file = await makeFile(client, root, "file");
  const calls = Array.from({ length: 40 }, (_, i) => client.call(nfs.write, write(file, i, "x")));
  const changes = (await Promise.all(calls)).map((results) => {
    t.is(results.u32(), 0);
    return readChangeData(results);
  });
  for (let i = 1; i < changes.length; i++) {
    t.is(changes[i].before?.changed, changes[i - 1].after?.changed);
    t.is(changes[i].before?.size, changes[i - 1].after?.size);
  }
});

test("an operation that breaks is SERVERFAULT, told to the owner, and the export goes on", async (t) => {
  const told: unknown[] = [];
  const { client, root, fileSystem } = await serveModel(t, { onInternalError: (_what, error) => told.push(error) });
  fileSystem.access = () => {
    throw new TypeError("a defect");
  };
  t.is((await client.call(nfs.access, encode().opaque(root).u32(1))).u32(), 10006);
  t.is(told.length, 1);
  t.is((await getattr(client, root)).type, 2);
});
