/** A guest's journal, laid over what its names mean now, by a real file server. */
import { join } from "node:path";
import test from "ava";
import { FileServerClient } from "../../../xenod/file-server/client.ts";
import { startFileServer, stopFileServer } from "../../../xenod/file-server/start.ts";
import { type Client, connect, nfs } from "../../cowfs/nfs/client.ts";
import { encode } from "../../cowfs/nfs/encoder.ts";
import { makeFile, mount } from "../../cowfs/nfs/fixture.ts";
import { makeStore, publishFiles } from "../published.ts";

async function read(client: Client, path: string): Promise<string> {
  let at = await mount(client);
  for (const name of path.split("/")) {
    const found = await client.call(nfs.lookup, encode().opaque(at).string(name));
    if (found.u32() !== 0) return "";
    at = found.opaque();
  }
  const results = await client.call(nfs.read, encode().opaque(at).u64(0).u32(4096));
  if (results.u32() !== 0) throw new Error("READ refused");
  if (results.u32() === 1) results.raw(84);
  results.u64();
  return results.opaque().toString();
}

test("a journal follows its overlay's name at the next start, and only where its export is gone", async (t) => {
  const published = await makeStore(t);
  const url = await publishFiles(published, "service", { "sbin/init": "#!", "etc/motd": "one\n" });
  const state = join(published.directory, "state");
  const client = new FileServerClient(state);
  t.teardown(async () => {
    await client.close();
    await stopFileServer(state);
  });
  const { storeDirectory: store, trustDirectory } = published;
  await startFileServer(state, { name: "test", store, trustDirectory });
  const journal = join(published.directory, "journal");
  const listen = { host: "127.0.0.1", port: 0 };
  const specification = { url, journal, listen, requirePrivilegedPort: false };
  t.deepEqual(await client.follow({ journal, url }), { isChanged: false }, "a guest that has never run");
  const { port } = await client.putExport("web", specification);
  const guest = await connect(port);
  t.teardown(() => guest.close());
  await makeFile(guest, await mount(guest), "own", "mine\n");
  t.deepEqual(await client.follow({ journal, url }), { isChanged: false }, "nothing is new");
  await publishFiles(published, "service", { "sbin/init": "#!", "etc/motd": "two\n" }, { version: "2" });
  t.deepEqual(await client.follow({ journal, url, lookOnly: true }), { isChanged: true });
  await t.throwsAsync(client.follow({ journal, url }), { code: "journal-busy" });
  t.is(await read(guest, "etc/motd"), "one\n", "whoever runs stays");
  await client.deleteExport("web");
  const { isChanged, tree } = await client.follow({ journal, url });
  t.true(isChanged);
  const again = await client.putExport("web", { ...specification, tree });
  const rebooted = await connect(again.port);
  t.teardown(() => rebooted.close());
  t.is(await read(rebooted, "etc/motd"), "two\n");
  t.is(await read(rebooted, "own"), "mine\n");
  t.deepEqual(await client.follow({ journal, url, lookOnly: true }), { isChanged: false });
});
