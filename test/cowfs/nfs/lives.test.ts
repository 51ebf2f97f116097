/** A guest that boots mounts its root: what its server makes of it when nobody has told that it was reset. */
import { setTimeout as delay } from "node:timers/promises";
import test, { type ExecutionContext } from "ava";
import type { NfsExport } from "../../../cowfs/nfs/export.ts";
import { type Client, encodeCall, mark, nfs } from "./client.ts";
import { encode } from "./encoder.ts";
import { mount, serveExport } from "./fixture.ts";
import { attributes } from "./results.ts";

async function serve(t: ExecutionContext, { isUsed = false, refuses = (): boolean => false } = {}) {
  const begun: number[] = [];
  let exported: NfsExport | undefined;
  const begin = async () => {
    if (refuses()) throw new Error("the disk refuses");
    begun.push(2 + begun.length);
    await delay(20);
    exported!.startEpoch(begun.at(-1)!);
  };
  const served = await serveExport(t, { lives: { isUsed, begin } });
  exported = served.exported;
  return { ...served, begun };
}

/** Always the same bytes: from another life they are another request. */
async function makeOnce(client: Client, root: Buffer): Promise<number> {
  const args = encode().opaque(root).string("new").u32(1).raw(attributes()).take();
  const nth = client.records.filter((record) => record.readUInt32BE() === 99).length;
  client.send(mark(encodeCall(nfs.create, args, { xid: 99 })));
  return (await client.reply(99, nth)).readUInt32BE(24);
}

const exist = 17;

test("a guest that was reset gets no answer of its life before, although nobody told", async (t) => {
  const { connect, begun, exported } = await serve(t);
  const before = await connect();
  const root = await mount(before);
  t.is(await makeOnce(before, root), 0);
  before.close();
  const after = await connect();
  await mount(after);
  t.deepEqual(begun, [2]);
  t.is(await makeOnce(after, root), exist);
  t.is(exported.counters.repeats, 0);
});

test("a guest that only connects again is answered as before, and so is one that mounts before it changed anything", async (t) => {
  const { connect, begun, exported } = await serve(t);
  const first = await connect();
  const root = await mount(first);
  await mount(await connect());
  t.is(await makeOnce(first, root), 0);
  first.close();
  t.is(await makeOnce(await connect(), root), 0);
  t.is(exported.counters.repeats, 1);
  t.deepEqual(begun, []);
});

test("a guest that is alive may mount again: on the same connection, or while it speaks on another", async (t) => {
  const { connect, begun, exported } = await serve(t);
  const first = await connect();
  const root = await mount(first);
  t.is(await makeOnce(first, root), 0);
  await mount(first);
  const second = await connect();
  let isMounted = false;
  const mounting = mount(second).then(() => {
    isMounted = true;
  });
  while (!isMounted) {
    await first.call(nfs.getattr, encode().opaque(root));
    await delay(10);
  }
  await mounting;
  t.deepEqual(begun, []);
  t.is(await makeOnce(second, root), 0);
  t.is(exported.counters.repeats, 1);
});

test("a connection whose peer says nothing but is there keeps the life; it takes a while to know", async (t) => {
  const { connect, begun } = await serve(t);
  const silent = await connect();
  const root = await mount(silent);
  t.is(await makeOnce(silent, root), 0);
  const second = await connect();
  const results = await Promise.race([mount(second), delay(60_000)]);
  t.truthy(results);
  t.deepEqual(begun, []);
  t.is(await makeOnce(second, root), 0);
});

test("after a restart of the server the epoch counts as used; a disk that refuses the new one keeps the guest waiting", async (t) => {
  let refuses = true;
  const { connect, begun } = await serve(t, { isUsed: true, refuses: () => refuses });
  const client = await connect();
  await t.throwsAsync(mount(client), { message: /MNT says 10006/ });
  refuses = false;
  await mount(client);
  t.deepEqual(begun, [2]);
  await mount(client);
  t.deepEqual(begun, [2]);
});
