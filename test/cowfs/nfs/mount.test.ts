import test from "ava";
import { type CallOptions, type Client, nfs } from "./client.ts";
import { encode } from "./encoder.ts";
import { mount, type Served, serveExport, serveModel } from "./fixture.ts";
import { attributes, readNewObject } from "./results.ts";

const mountProgram: CallOptions = { program: 100005 };
const portmapper: CallOptions = { program: 100000, version: 2 };

async function dump(client: Client): Promise<[string, string][]> {
  const results = await client.call(2, Buffer.alloc(0), mountProgram);
  const mounts: [string, string][] = [];
  while (results.u32() === 1) mounts.push([results.string(), results.string()]);
  return mounts;
}

test("MNT gives the root, or a directory below it, and tells the owner", async (t) => {
  const told: unknown[] = [];
  const { client, root } = await serveModel(t, { onMount: (event) => told.push(event) });
  const made = await client.call(
    nfs.mkdir,
    encode()
      .opaque(root)
      .string("d")
      .raw(attributes({ mode: 0o755 })),
  );
  const { handle } = readNewObject(made);
  t.deepEqual(await mount(client, "/d"), handle);
  t.deepEqual(await mount(client, "//d/."), handle);
  t.deepEqual(told[1], { path: "/d", host: "127.0.0.1" });
});

test("MNT refuses what is not there, not a directory, or above", async (t) => {
  const { client, root } = await serveModel(t);
  await client.call(nfs.create, encode().opaque(root).string("file").u32(0).raw(attributes()));
  for (const [path, status] of [
    ["/none", 2],
    ["none", 2],
    ["/file", 20],
    ["/file/x", 20],
    ["/../x", 13],
  ] as const) {
    const results = await client.call(1, encode().string(path), mountProgram);
    t.is(results.u32(), status, path);
  }
  await t.throwsAsync(() => client.call(1, encode().string("/".repeat(1025)), mountProgram), { message: /status 4/ });
});

test("an export path is a prefix that clients must name", async (t) => {
  const { client, root } = await serveModel(t, { exportPath: "/srv/root" });
  const made = await client.call(
    nfs.mkdir,
    encode()
      .opaque(root)
      .string("d")
      .raw(attributes({ mode: 0o755 })),
  );
  t.deepEqual(await mount(client, "/srv/root/d"), readNewObject(made).handle);
  for (const path of ["/", "/srv", "/d", "/srv/root/../root"]) {
    await t.throwsAsync(() => mount(client, path), undefined, path);
  }
});

test("DUMP lists mounts, UMNT and UMNTALL take them off, EXPORT names the path", async (t) => {
  const { client, root } = await serveModel(t);
  await client.call(
    nfs.mkdir,
    encode()
      .opaque(root)
      .string("d")
      .raw(attributes({ mode: 0o755 })),
  );
  await mount(client, "/d");
  t.deepEqual(await dump(client), [
    ["127.0.0.1", "/"],
    ["127.0.0.1", "/d"],
  ]);
  t.is((await client.call(3, encode().string("/d"), mountProgram)).left, 0);
  t.deepEqual(await dump(client), [["127.0.0.1", "/"]]);
  t.is((await client.call(4, Buffer.alloc(0), mountProgram)).left, 0);
  t.deepEqual(await dump(client), []);
  const exports = await client.call(5, Buffer.alloc(0), mountProgram);
  t.deepEqual([exports.u32(), exports.string(), exports.u32(), exports.u32(), exports.left], [1, "/", 0, 0, 0]);
});

test("DUMP stays bounded when a client mounts under ever new names", async (t) => {
  const { client } = await serveModel(t);
  for (let i = 0; i < 300; i++) await mount(client, `/${"/".repeat(i)}`);
  t.is((await dump(client)).length, 256);
});

test("the portmapper names its own port for each program over TCP", async (t) => {
  const { client, port } = await serveModel(t);
  const getPort = async (program: number, version: number, protocol: number) =>
    (await client.call(3, encode().u32(program).u32(version).u32(protocol).u32(0), portmapper)).u32();
  t.is(await getPort(100003, 3, 6), port);
  t.is(await getPort(100005, 3, 6), port);
  t.is(await getPort(100000, 2, 6), port);
  t.is(await getPort(100003, 3, 17), 0);
  t.is(await getPort(100003, 4, 6), 0);
  t.is(await getPort(100021, 4, 6), port);
  t.is(await getPort(100021, 3, 6), 0);
  const results = await client.call(4, Buffer.alloc(0), portmapper);
  const programs: number[] = [];
  while (results.u32() === 1) {
    programs.push(results.u32());
    t.deepEqual([results.u32() > 0, results.u32(), results.u32()], [true, 6, port]);
  }
  t.deepEqual(programs.sort(), [100000, 100003, 100005, 100021, 100024]);
  t.is((await client.call(1, encode().u32(1).u32(1).u32(6).u32(1), portmapper)).u32(), 0);
});

test("calls from unprivileged ports are refused where the export says so, pings are not", async (t) => {
  const guarded = await serveExport(t, { requirePrivilegedPort: true });
  const forger = await guarded.connect();
  await t.notThrowsAsync(() => forger.call(0));
  const denied = await t.throwsAsync(() => forger.call(nfs.getattr, encode().opaque(Buffer.alloc(32))));
  t.regex(denied!.message, /denied: .{8}00000001000000010000000100000005$/);
  await t.throwsAsync(() => mount(forger), { message: /denied/ });
});

const asRoot = process.getuid?.() === 0 ? test : test.skip;

asRoot("calls from privileged ports are served", async (t) => {
  const guarded = await serveExport(t, { requirePrivilegedPort: true });
  t.is((await mount(await connectPrivileged(guarded))).length, 32);
});

/** Some privileged port will be free. */
async function connectPrivileged(guarded: Served): Promise<Client> {
  for (let localPort = 1023; localPort > 900; localPort--) {
    try {
      return await guarded.connect({ localPort });
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== "EADDRINUSE") throw thrown;
    }
  }
  throw new Error("no privileged port is free");
}
