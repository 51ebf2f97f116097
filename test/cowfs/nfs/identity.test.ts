/** Handles and cookies of a real union over the wire: what they name stays, whatever happens to names, layers and processes. */
import test, { type ExecutionContext } from "ava";
import { directory, file } from "../union/layers.ts";
import { openScratch, type Scratch } from "../union/scratch.ts";
import { type Client, encodeCall, mark, nfs } from "./client.ts";
import { type Decoder, encode } from "./encoder.ts";
import { mount, type Served, serveExport } from "./fixture.ts";
import { attributes, readAttributes, readListing } from "./results.ts";

const superuser = { uid: 0, gid: 0, groups: [] };

interface Life {
  readonly client: Client;
  readonly root: Buffer;
  /** Ends the export and the union, and starts both again from the journal. */
  restart(): Promise<Life>;
}

async function serve(t: ExecutionContext, scratch: Scratch): Promise<Life> {
  const served: Served = await serveExport(t, { fileSystem: scratch.fs });
  const client = await served.connect();
  return {
    client,
    root: await mount(client),
    restart: async () => {
      served.exported.close();
      await scratch.reopen();
      return await serve(t, scratch);
    },
  };
}

async function call(client: Client, procedure: number, args: ReturnType<typeof encode>): Promise<Decoder> {
  const results = await client.call(procedure, args);
  const status = results.u32();
  if (status !== 0) throw new Error(`status ${status}`);
  return results;
}

async function lookUp(client: Client, from: Buffer, path: string): Promise<Buffer> {
  let handle = from;
  for (const name of path.split("/"))
    handle = (await call(client, nfs.lookup, encode().opaque(handle).string(name))).opaque();
  return handle;
}

async function read(client: Client, handle: Buffer): Promise<string> {
  const results = await call(client, nfs.read, encode().opaque(handle).u64(0).u32(100));
  results.optional(readAttributes);
  results.u32();
  results.u32();
  return results.string();
}

test("a handle of a template's file outlives copy-up, the rename of its ancestors, and restarts of the export", async (t) => {
  const base = "test://base";
  const below = directory({ b: directory({ f: file("template"), other: file("other") }) });
  const scratch = await openScratch(t, { base, layers: { [base]: directory({ a: below, c: directory({}) }) } });
  const first = await serve(t, scratch);
  const { root } = first;
  const [b, f, other] = [
    await lookUp(first.client, root, "a/b"),
    await lookUp(first.client, root, "a/b/f"),
    await lookUp(first.client, root, "a/b/other"),
  ];
  const identity = async (client: Client, handle: Buffer) => {
    const { id, fsid } = readAttributes(await call(client, nfs.getattr, encode().opaque(handle)));
    return `${fsid}:${id}`;
  };
  const before = await Promise.all([b, f, other].map((handle) => identity(first.client, handle)));

  const data = Buffer.from("TEMPL");
  await call(first.client, nfs.write, encode().opaque(f).u64(0).u32(data.length).u32(2).opaque(data));
  const chmod = encode()
    .opaque(b)
    .raw(attributes({ mode: 0o700 }))
    .u32(0);
  await call(first.client, nfs.setattr, chmod);
  const c = await lookUp(first.client, root, "c");
  await call(first.client, nfs.rename, encode().opaque(root).string("a").opaque(c).string("moved"));

  let life = first;
  for (let restarts = 0; restarts < 3; restarts++) {
    const { client } = life;
    t.is(await read(client, f), "TEMPLate");
    t.is(await read(client, other), "other");
    t.deepEqual(await Promise.all([b, f, other].map((handle) => identity(client, handle))), before);
    // The parents are found from the handle alone.
    t.deepEqual(await lookUp(client, b, "../.."), c);
    t.deepEqual(await lookUp(client, root, "c/moved/b/f"), f);
    t.deepEqual(await lookUp(client, b, "other"), other);
    life = await life.restart();
  }
  await call(life.client, nfs.remove, encode().opaque(b).string("f"));
  life = await life.restart();
  t.is((await life.client.call(nfs.getattr, encode().opaque(f))).u32(), 70);
});

/** Removes names in one burst, as `rm -r` of several processes does. */
async function removeAll(client: Client, from: Buffer, names: readonly string[], firstXid: number): Promise<void> {
  const calls = names.map((name, index) =>
    mark(encodeCall(nfs.remove, encode().opaque(from).string(name).take(), { xid: firstXid + index })),
  );
  client.records.length = 0;
  client.send(Buffer.concat(calls));
  for (const index of [...names.keys()].reverse()) {
    const status = (await client.reply(firstXid + index)).readUInt32BE(24);
    if (status !== 0) throw new Error(`REMOVE says ${status}`);
    if (index === names.length - 1 && client.records.length === names.length) break;
  }
}

test("100,000 names of a template and of its journal are each listed once while they are removed, over a restart too", async (t) => {
  const half = 50_000;
  const base = "test://base";
  const lower = Object.fromEntries(Array.from({ length: half }, (_, index) => [`lower-${index}`, file("")]));
  const scratch = await openScratch(t, { base, layers: { [base]: directory({ d: directory(lower) }) } });
  const at = await scratch.find("d");
  await scratch.change((fs) => {
    for (let index = 0; index < half; index++)
      fs.createFile(superuser, at, `upper-${index}`, { mode: 0o600 }, { kind: "guarded" });
  });
  let life = await serve(t, scratch);
  const d = await lookUp(life.client, life.root, "d");
  const seen = new Set<string>();
  let count = 0;
  let xid = 1 << 20;
  for (let cookie = 0, page = 0, isComplete = false; !isComplete; page++) {
    const plus = page % 2 === 0;
    const args = encode()
      .opaque(d)
      .u64(cookie)
      .u64(0)
      .u32(1 << 20);
    if (plus) args.u32(1 << 20);
    const listing = readListing(await life.client.call(plus ? nfs.readdirplus : nfs.readdir, args), plus);
    const names = listing.entries.map(({ name }) => name).filter((name) => name !== "." && name !== "..");
    for (const name of names) seen.add(name);
    count += names.length;
    isComplete = listing.isComplete;
    cookie = listing.entries.at(-1)?.cookie ?? cookie;
    if (plus) {
      await removeAll(life.client, d, names, xid);
      xid += names.length;
    } else {
      await scratch.change((fs) => {
        for (const name of names) fs.removeFile(superuser, at, name);
      });
    }
    if (page === 3) life = await life.restart();
  }
  t.is(seen.size, 2 * half);
  t.is(count, 2 * half);
  await call(life.client, nfs.rmdir, encode().opaque(life.root).string("d"));
});
