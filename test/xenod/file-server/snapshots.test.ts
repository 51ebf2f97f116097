/** Snapshots through the control socket: a guest goes on from one as it was then, with the handles that it had. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { FileServerClient } from "../../../xenod/file-server/client.ts";
import { startFileServer, stopFileServer } from "../../../xenod/file-server/start.ts";
import { type Client, connect, nfs } from "../../cowfs/nfs/client.ts";
import { encode } from "../../cowfs/nfs/encoder.ts";
import { makeFile, mount } from "../../cowfs/nfs/fixture.ts";
import { makeStore, publishFiles } from "../published.ts";

async function read(client: Client, handle: Buffer): Promise<string | number> {
  const results = await client.call(nfs.read, encode().opaque(handle).u64(0).u32(4096));
  const status = results.u32();
  if (status !== 0) return status;
  if (results.u32() === 1) results.raw(84);
  results.u64();
  return results.opaque().toString();
}

async function write(client: Client, handle: Buffer, text: string, xid?: number): Promise<Buffer> {
  const args = encode().opaque(handle).u64(0).u32(text.length).u32(0).opaque(Buffer.from(text));
  const results = await client.call(nfs.write, args, { xid });
  return results.raw(results.left);
}

test("a snapshot of an export that serves is forked: the guest that resumes finds its handles and answers, another guest none", async (t) => {
  const published = await makeStore(t);
  const url = await publishFiles(published, "service", { "etc/motd": "hello\n" });
  const state = join(published.directory, "state");
  const { storeDirectory: store, trustDirectory } = published;
  const client = new FileServerClient(state);
  t.teardown(async () => {
    await client.close();
    await stopFileServer(state);
  });
  await startFileServer(state, { name: "test", store, trustDirectory });
  const journal = join(published.directory, "journal");
  const at = (change: object) => ({
    url,
    journal,
    listen: { host: "127.0.0.1", port: 0 },
    requirePrivilegedPort: false,
    ...change,
  });
  const guestOf = async (id: string, specification: ReturnType<typeof at>) => {
    const guest = await connect((await client.putExport(id, specification)).port);
    t.teardown(() => guest.close());
    return guest;
  };
  const guest = await guestOf("web", at({}));
  const root = await mount(guest);
  const handle = await makeFile(guest, root, "note", "at first");
  const answer = await write(guest, handle, "pinned  ", 4711);
  const taken = await client.takeSnapshot({ journal, name: "one" });
  t.like(taken, { name: "one", heldBytes: 0 });
  await write(guest, handle, "later   ");
  t.like(await client.takeSnapshot({ journal, name: "one" }), { created: taken.created, sequence: taken.sequence });
  t.is((await client.listSnapshots(journal)).length, 1);
  // Of a journal that is open, and of one that is not.
  const resumed = join(published.directory, "resumed");
  const another = join(published.directory, "another");
  await client.forkSnapshot({ journal, name: "one", fork: resumed, lineage: "same" });
  await client.forkSnapshot({ journal, name: "one", fork: resumed, lineage: "same" });
  t.is(await read(guest, handle), "later   ");
  await client.deleteExport("web");
  await client.forkSnapshot({ journal, name: "one", fork: another, lineage: "new" });
  await client.dropSnapshot({ journal, name: "one" });
  await client.dropSnapshot({ journal, name: "one" });
  t.deepEqual(await client.listSnapshots(journal), []);
  rmSync(journal, { recursive: true });
  await t.throwsAsync(client.listSnapshots(journal), { code: "journal-unknown" });
  const same = await guestOf("web", at({ journal: resumed, bootEpoch: 0 }));
  t.deepEqual(await write(same, handle, "pinned  ", 4711), answer, "the first answer, from before the snapshot");
  t.is(await read(same, handle), "pinned  ");
  const other = await guestOf("other", at({ journal: another }));
  t.not(await read(other, handle), "pinned  ", "a handle of another lineage");
  const otherRoot = await mount(other);
  const found = await other.call(nfs.lookup, encode().opaque(otherRoot).string("note"));
  t.is(found.u32(), 0);
  t.is(await read(other, found.opaque()), "pinned  ");
  for (const [request, code] of [
    [client.takeSnapshot({ journal: resumed, name: "../x" }), "request-invalid"],
    [client.takeSnapshot({ journal: published.directory, name: "x" }), "journal-unknown"],
    [client.forkSnapshot({ journal: resumed, name: "none", fork: `${resumed}2`, lineage: "same" }), "pin-unknown"],
  ] as const)
    await t.throwsAsync(request, { code });
});
