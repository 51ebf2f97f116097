/** Precaching by a real file server, whose worker is killed on the way. */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import test, { type ExecutionContext } from "ava";
import { FileServerClient } from "../../../xenod/file-server/client.ts";
import { fileServerFiles } from "../../../xenod/file-server/files.ts";
import type { PrecacheRequest, PrecacheStatus } from "../../../xenod/file-server/protocol.ts";
import { startFileServer, stopFileServer } from "../../../xenod/file-server/start.ts";
import { treesOf } from "../../../xenostore/pull/cache-files.ts";
import { verifyCachedTree } from "../../../xenostore/pull/verify-cache.ts";
import { encodeTrace, traceKey } from "../../../xenostore/traces/boot-trace.ts";
import { makeBytes } from "../../xenostore/publish/sample.ts";
import { makeStore, publishFiles } from "../published.ts";

const fileCount = 24;
const fileBytes = 300_000;
const contentBytes = fileCount * fileBytes;

async function start(t: ExecutionContext) {
  const published = await makeStore(t);
  const { directory, storeDirectory, trustDirectory, store } = published;
  const publish = (name: string) => {
    const files = Array.from({ length: fileCount }, (_, n) => [`f${n}`, makeBytes(fileBytes, `${name} ${n}`)]);
    return publishFiles(published, name, Object.fromEntries(files));
  };
  const state = join(directory, "state");
  const client = new FileServerClient(state);
  t.teardown(async () => {
    await client.close();
    await stopFileServer(state);
  });
  await startFileServer(state, { name: "test", store: storeDirectory, trustDirectory });
  const finish = async (
    id: string,
    request: PrecacheRequest,
    onStatus: (status: PrecacheStatus) => unknown = () => {},
  ) => {
    const end = performance.now() + 120_000;
    for (;;) {
      const status = await client.precache(id, request);
      await onStatus(status);
      if (status.isOver) return status.items;
      if (performance.now() > end) throw new Error(`not in time: ${JSON.stringify(status)}`);
      await delay(20);
    }
  };
  const verify = (tree: string) =>
    verifyCachedTree(treesOf(fileServerFiles(state).cache), tree, AbortSignal.timeout(60_000));
  return { client, store, publish, finish, verify };
}

test("what was named is brought, and what cannot be had is told beside it; the same request again says the same", async (t) => {
  const { publish, finish, verify } = await start(t);
  const [one, two] = [await publish("one"), await publish("two")];
  const request = { urls: [one, two, "xenostore://demo/nothing"] };
  const id = randomUUID();
  const items = await finish(id, request);
  t.deepEqual(
    items.map(({ phase }) => phase),
    ["done", "done", "failed"],
  );
  t.is(items[2].error!.code, "overlay-unknown");
  for (const { tree } of items.slice(0, 2))
    t.like(await verify(tree!), { bytes: contentBytes, damagedChunks: 0, isOpen: false });
  t.deepEqual(await finish(id, request), items);
  const again = await finish(randomUUID(), request);
  t.deepEqual(
    again.map(({ broughtBytes }) => broughtBytes),
    [0, 0, 0],
  );
});

test("with --trace-only only what boots have read is brought; the traces of all come before everything of any", async (t) => {
  const { publish, finish, verify, store } = await start(t);
  const [one, two] = [await publish("one"), await publish("two")];
  const [{ tree }] = await finish(randomUUID(), { urls: [one], traceOnly: true });
  t.like(await verify(tree!), { bytes: 0 }, "there is no trace yet");
  await store.putIfAbsent(traceKey(tree!), encodeTrace(new Map([[tree!, [3, 1, 2 ** 31]]])));
  const [traced] = await finish(randomUUID(), { urls: [one], traceOnly: true });
  t.true(traced.broughtBytes > 0 && traced.broughtBytes < contentBytes / 2);
  const phases = new Set<string>();
  await finish(randomUUID(), { urls: [two, one] }, ({ items }) => phases.add(items.map(({ phase }) => phase).join()));
  t.false(phases.has("done,waiting"));
});

test("a worker that is killed on the way is asked again, and brings only the rest", async (t) => {
  const { publish, finish, verify, client } = await start(t);
  // So slow that all of it takes 13 s.
  const request: PrecacheRequest = { urls: [await publish("one")], bytesPerSecond: 500_000 };
  const id = randomUUID();
  const { worker } = await client.status();
  let killed = false;
  const [item] = await finish(id, request, async ({ items: [{ tree }] }) => {
    // What is not yet on stable storage would be brought again.
    if (killed || tree === undefined || ((await verify(tree))?.bytes ?? 0) === 0) return;
    killed = true;
    process.kill(worker, "SIGKILL");
    delete request.bytesPerSecond;
  });
  t.true(killed);
  t.is(item.phase, "done");
  t.true(item.broughtBytes < contentBytes, "a part was here");
  t.like(await verify(item.tree!), { bytes: contentBytes, damagedChunks: 0 });
});

test("a request that is cancelled ends at once, and what is here stays", async (t) => {
  const { publish, client, finish } = await start(t);
  const urls = [await publish("one")];
  const id = randomUUID();
  await client.precache(id, { urls, bytesPerSecond: 100_000 });
  await client.cancelPrecache(id);
  await client.cancelPrecache(id);
  const [{ phase }] = await finish(randomUUID(), { urls });
  t.is(phase, "done");
});
