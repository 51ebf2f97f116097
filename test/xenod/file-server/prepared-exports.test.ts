/** What an export takes that is about to come is there beforehand, and is given back where it does not come. */
import { randomInt } from "node:crypto";
import { rename } from "node:fs/promises";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { FileServerClient } from "../../../xenod/file-server/client.ts";
import { startFileServer, stopFileServer } from "../../../xenod/file-server/start.ts";
import { createNamespace, deleteNamespace } from "../../../xenod/links/namespaces.ts";
import { makeStore, publishFiles } from "../published.ts";

async function start(t: ExecutionContext) {
  const published = await makeStore(t);
  const url = await publishFiles(published, "service", { "sbin/init": "#!/bin/sh\n" });
  const state = join(published.directory, "state");
  const { storeDirectory: store, trustDirectory } = published;
  const client = new FileServerClient(state);
  t.teardown(async () => {
    await client.close();
    await stopFileServer(state);
  });
  await startFileServer(state, { name: "test", store, trustDirectory });
  const journal = join(published.directory, "journal");
  // An address of its own, on which nobody else takes a port.
  const listen = { host: `127.${randomInt(1, 255)}.${randomInt(1, 255)}.${randomInt(2, 255)}`, port: 2049 };
  // Which tree the overlay is, as a XenoServer knows it that has the domain.
  const elsewhere = { url, journal: `${journal}-elsewhere`, listen: { host: "127.0.0.1", port: 0 } };
  const { layers = [] } = await client.putExport("elsewhere", elsewhere);
  await client.deleteExport("elsewhere");
  return { client, specification: { url, tree: layers[0].tree, journal, listen }, layers, store };
}

test("a prepared export has its layers before it comes, and needs its store no more", async (t) => {
  const { client, specification, layers, store } = await start(t);
  const { listen } = specification;
  await client.prepareExport("web", { listen, layers });
  // The same again, as whoever was not answered says it.
  await client.prepareExport("web", { listen, layers });
  await rename(store, `${store}.away`);
  t.like(await client.putExport("web", specification), { state: "serving", port: listen.port, layers });
  await client.prepareExport("web", { listen, layers });
  t.is((await client.getExport("web")).state, "serving", "one that is there stays as it is");
});

test("the socket of an export that is to come is held: its link's namespace is not entered any more", async (t) => {
  const { client, specification, layers } = await start(t);
  const namespace = `xeno-held-${process.pid}`;
  t.teardown(() => deleteNamespace(namespace));
  await createNamespace(namespace, { settings: [], devices: [] });
  const listen = { namespace, host: "127.0.0.1", port: 2049 };
  await client.prepareExport("web", { listen, layers });
  // It lives on without a name as long as somebody has a socket in it.
  await deleteNamespace(namespace);
  t.like(await client.putExport("web", { ...specification, listen }), { state: "serving", port: 2049 });
  await client.deleteExport("web");
  await t.throwsAsync(client.putExport("web", { ...specification, listen }), { code: "listen-failed" }, "given back");
});

test("what was prepared of an export that does not come is given back", async (t) => {
  const { client, specification, layers } = await start(t);
  const { listen } = specification;
  await client.prepareExport("web", { listen, layers });
  await client.deleteExport("web");
  const unknown = [{ url: specification.url, tree: "0".repeat(64) }];
  await t.throwsAsync(client.prepareExport("web", { listen, layers: unknown }), { code: "layer-gone" });
  t.is((await client.putExport("web", specification)).state, "serving");
});

test("a worker that is killed has prepared nothing: the export comes all the same", async (t) => {
  const { client, specification, layers } = await start(t);
  await client.prepareExport("web", { listen: specification.listen, layers });
  process.kill((await client.status()).worker, "SIGKILL");
  t.is((await client.putExport("web", specification)).state, "serving");
});
