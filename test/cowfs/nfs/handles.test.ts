import { randomBytes } from "node:crypto";
import test from "ava";
import { Handles } from "../../../cowfs/nfs/handles.ts";
import { viewMemory, XdrReader, XdrWriter } from "../../../cowfs/nfs/xdr.ts";
import { nfs } from "./client.ts";
import { encode } from "./encoder.ts";
import { makeFile, serveModel } from "./fixture.ts";
import { attributes, readAttributes, readNewObject } from "./results.ts";

const stale = 70;
const badHandle = 10001;

function write(handles: Handles, id: number): Buffer {
  const memory = viewMemory(Buffer.alloc(36));
  const writer = new XdrWriter();
  writer.attach(memory, 0, 36);
  handles.write(writer, id);
  return memory.bytes;
}

function read(handles: Handles, bytes: Buffer): number {
  const reader = new XdrReader();
  reader.attach(viewMemory(bytes), 0, bytes.length);
  return handles.read(reader);
}

test("a handle names its fileid, in every life of the lineage, also when the MAC cache is overrun", (t) => {
  const lineage = randomBytes(16);
  const key = randomBytes(32);
  const handles = new Handles(lineage, key);
  const ids = [0, 1, 2 ** 32, 2 ** 40 + 5, Number.MAX_SAFE_INTEGER];
  const encoded = ids.map((id) => write(handles, id));
  for (let id = 0; id < 200_000; id += 3) write(handles, id);
  for (let id = 0; id < 200_000; id += 300) t.is(read(new Handles(lineage, key), write(handles, id)), id);
  for (const again of [handles, new Handles(lineage, key)]) {
    t.deepEqual(
      encoded.map((bytes) => read(again, bytes)),
      ids,
    );
  }
});

test("no bit of a handle can be changed", (t) => {
  const handles = new Handles(randomBytes(16), randomBytes(32));
  const bytes = write(handles, 1234567);
  for (let bit = 0; bit < 256; bit++) {
    const forged = Buffer.from(bytes);
    forged[4 + (bit >> 3)] ^= 1 << (bit & 7);
    const thrown = t.throws(() => read(handles, forged)) as Error & { status: number };
    t.is(thrown.status, bit < 64 ? stale : badHandle);
  }
});

test("another key's handle is refused, another lineage's is stale", async (t) => {
  const { client, fileSystem } = await serveModel(t);
  const foreign = new Handles(randomBytes(16), fileSystem.handleKey);
  const forged = new Handles(fileSystem.lineage, randomBytes(32));
  const getattr = async (bytes: Buffer) => (await client.call(nfs.getattr, bytes)).u32();
  t.is(await getattr(write(foreign, fileSystem.rootId)), stale);
  t.is(await getattr(write(forged, fileSystem.rootId)), badHandle);
  t.is(await getattr(encode().opaque(Buffer.alloc(16)).take()), badHandle);
});

test("a genuine handle of an inode that never was is stale", async (t) => {
  const { client, fileSystem } = await serveModel(t);
  const handles = new Handles(fileSystem.lineage, fileSystem.handleKey);
  t.is((await client.call(nfs.getattr, write(handles, 2 ** 50))).u32(), stale);
});

test("handles outlive the rename of an ancestor and a new server over the same file system", async (t) => {
  const { client, root, fileSystem } = await serveModel(t);
  const made = await client.call(
    nfs.mkdir,
    encode()
      .opaque(root)
      .string("a")
      .raw(attributes({ mode: 0o755 })),
  );
  const directory = readNewObject(made).handle;
  const file = await makeFile(client, directory, "f", "content");
  const renamed = encode().opaque(root).string("a").opaque(root).string("b");
  t.is((await client.call(nfs.rename, renamed)).u32(), 0);
  t.is((await client.call(nfs.getattr, encode().opaque(file))).u32(), 0);

  const again = await serveModel(t, { fileSystem });
  const results = await again.client.call(nfs.getattr, encode().opaque(file));
  t.is(results.u32(), 0);
  t.is(readAttributes(results).size, 7);
});

test("a removed file's handle is stale", async (t) => {
  const { client, root } = await serveModel(t);
  const file = await makeFile(client, root, "f");
  t.is((await client.call(nfs.remove, encode().opaque(root).string("f"))).u32(), 0);
  t.is((await client.call(nfs.getattr, encode().opaque(file))).u32(), stale);
});
