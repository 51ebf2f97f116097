/**
 * A store that is slow, gone, throttled or lying, as an NFS client sees it: it waits or asks again, it never reads a wrong
 * byte, and it goes on by itself once the store is well.
 */
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import test, { type ExecutionContext } from "ava";
import { XenoError } from "../../../cowfs/errors.ts";
import { openLayers } from "../../../templates/layers/open-layers.ts";
import { serveUnion } from "../../../xenod/file-server/serve-union.ts";
import { readTrust } from "../../../xenostore/keys/key-ring.ts";
import type { RetryPolicy } from "../../../xenostore/pull/retry.ts";
import type { ObjectStore } from "../../../xenostore/stores/object-store.ts";
import { type Client, connect, nfs } from "../../cowfs/nfs/client.ts";
import { encode } from "../../cowfs/nfs/encoder.ts";
import { mount } from "../../cowfs/nfs/fixture.ts";
import { makeBytes } from "../../xenostore/publish/sample.ts";
import { makeStore, publishFiles } from "../published.ts";

const Status = { ok: 0, io: 5, jukebox: 10008 };
const content = makeBytes(200_000, "content");

type Get = ObjectStore["get"];
/** What becomes of a request for a part of a pack; undefined lets it through. */
type Trouble = (get: () => Promise<Buffer>, signal: AbortSignal | undefined) => Promise<Buffer>;

interface Rig {
  readonly client: Client;
  readonly file: Buffer;
  readonly told: string[];
  requests: number;
  trouble: Trouble | undefined;
}

async function setUp(
  t: ExecutionContext,
  {
    jukeboxMs = 1_000,
    ioErrorAfterMs,
    retries,
  }: { jukeboxMs?: number; ioErrorAfterMs?: number; retries?: Partial<RetryPolicy> } = {},
): Promise<Rig> {
  const published = await makeStore(t);
  const { directory, store, trustDirectory } = published;
  const url = await publishFiles(published, "service", { content });
  const rig = { told: [] as string[], requests: 0, trouble: undefined as Trouble | undefined };
  const get: Get = async (key, options) => {
    const now = () => store.get(key, options);
    if (!key.startsWith("packs/")) return await now();
    rig.requests++;
    return rig.trouble === undefined ? await now() : await rig.trouble(now, options?.signal);
  };
  const troubled: ObjectStore = Object.assign(Object.create(store), { get });
  const layers = openLayers({
    store: troubled,
    trust: readTrust(trustDirectory),
    cacheDirectory: join(directory, "cache"),
    retries: { patienceMs: 200, firstPauseMs: 5, maxPauseMs: 50, attemptMs: 20_000, ...retries },
  });
  const server = await serveUnion({
    url,
    journal: join(directory, "journal"),
    resolve: layers.resolve,
    listen: { host: "127.0.0.1", port: 0 },
    requirePrivilegedPort: false,
    jukeboxMs,
    ioErrorAfterMs,
    signal: new AbortController().signal,
    onTrouble: (what, error) => rig.told.push(`${what}: ${(error as Error).message} [${(error as XenoError).code}]`),
  });
  t.teardown(async () => {
    await server.close();
    await layers.close();
  });
  const client = await connect(server.port);
  t.teardown(() => client.close());
  const found = await client.call(
    nfs.lookup,
    encode()
      .opaque(await mount(client))
      .string("content"),
  );
  t.is(found.u32(), Status.ok);
  return Object.assign(rig, { client, file: found.opaque() });
}

/** The status of reading all of the file in pieces of 64 KiB, with what was read. */
async function readAll({ client, file }: Rig): Promise<{ status: number; bytes: Buffer }> {
  const parts: Buffer[] = [];
  for (let at = 0; at < content.length; at += 65_536) {
    const results = await client.call(nfs.read, encode().opaque(file).u64(at).u32(65_536));
    const status = results.u32();
    if (results.u32() === 1) results.raw(84);
    if (status !== Status.ok) return { status, bytes: Buffer.concat(parts) };
    results.u64();
    parts.push(results.opaque());
  }
  return { status: Status.ok, bytes: Buffer.concat(parts) };
}

/** As a kernel does: asks again until it is answered. */
async function readPatiently(t: ExecutionContext, rig: Rig): Promise<Buffer> {
  const end = performance.now() + 60_000;
  for (;;) {
    const { status, bytes } = await readAll(rig);
    t.true(bytes.equals(content.subarray(0, bytes.length)), "no wrong byte");
    if (status === Status.ok) return bytes;
    t.is(status, Status.jukebox);
    if (performance.now() > end) t.fail(`not in time: ${rig.told.at(-1)}`);
    await delay(20);
  }
}

const gone: Trouble = async () => {
  throw new XenoError("store-unavailable", "the store is away");
};

for (const [what, trouble] of [
  ["slow", async (get) => delay(400).then(get)],
  [
    "throttled, two of three requests",
    (() => {
      let count = 0;
      return async (get: () => Promise<Buffer>) => (count++ % 3 === 2 ? await get() : await gone(get, undefined));
    })(),
  ],
  [
    "resetting every other connection in the middle",
    (() => {
      let count = 0;
      return async (get: () => Promise<Buffer>) =>
        count++ % 2 === 1 ? await get() : await get().then(() => gone(get, undefined));
    })(),
  ],
  [
    "lying once",
    (() => {
      let count = 0;
      return async (get: () => Promise<Buffer>) => {
        const bytes = Buffer.from(await get());
        if (count++ === 0) bytes[bytes.length >>> 1] ^= 1;
        return bytes;
      };
    })(),
  ],
] as const satisfies readonly (readonly [string, Trouble])[])
  test(`a store that is ${what}: the client reads right bytes and notices nothing but time`, async (t) => {
    const rig = await setUp(t, { jukeboxMs: 60_000, retries: { patienceMs: 50_000 } });
    rig.trouble = trouble;
    const { status, bytes } = await readAll(rig);
    t.is(status, Status.ok);
    t.true(bytes.equals(content));
    t.deepEqual(rig.told, []);
  });

for (const [what, trouble, message] of [
  ["gone", gone, /the store is away \[store-unavailable\]/],
  [
    "hung",
    async (_, signal) => new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason))),
    undefined,
  ],
  [
    "flipping bits",
    async (get) => {
      const bytes = Buffer.from(await get());
      for (let at = 0; at < bytes.length; at += 1000) bytes[at] ^= 4;
      return bytes;
    },
    /packs\/[0-9a-f]{64}.* \[object-damaged\]/,
  ],
  ["cutting objects short", async (get) => (await get()).subarray(0, 100), /packs\/[0-9a-f]{64}.* \[object-damaged\]/],
  [
    "without the pack",
    async () => {
      throw new XenoError("object-missing", "no object packs/x");
    },
    /no object packs\/x \[object-missing\]/,
  ],
] as const satisfies readonly (readonly [string, Trouble, RegExp | undefined])[])
  test(`a store that is ${what}: the client is told to ask again, the log says why, and it goes on once the store is well`, async (t) => {
    const rig = await setUp(t);
    rig.trouble = trouble;
    const { status, bytes } = await readAll(rig);
    t.is(status, Status.jukebox);
    t.is(bytes.length, 0);
    // On a busy machine the client may be told to ask again before the reason is known.
    const end = performance.now() + 60_000;
    while (message !== undefined && !message.test(rig.told.join("\n")) && performance.now() < end)
      t.is((await readAll(rig)).status, Status.jukebox);
    if (message !== undefined) t.regex(rig.told.join("\n"), message);
    t.is((await readAll(rig)).status, Status.jukebox);
    rig.trouble = undefined;
    t.true((await readPatiently(t, rig)).equals(content));
    const before = rig.requests;
    rig.trouble = gone;
    t.true((await readPatiently(t, rig)).equals(content), "what is here needs no store");
    t.is(rig.requests, before);
  });

test("where the operator set a limit, data that did not come within it is an I/O error, until it comes", async (t) => {
  const rig = await setUp(t, { ioErrorAfterMs: 500 });
  rig.trouble = gone;
  t.is((await readAll(rig)).status, Status.jukebox);
  const end = performance.now() + 60_000;
  let status = Status.jukebox;
  while (status === Status.jukebox && performance.now() < end) ({ status } = await readAll(rig));
  t.is(status, Status.io);
  rig.trouble = undefined;
  t.true((await readPatiently(t, rig)).equals(content));
});

test("while a store is away it is asked seldom, however often the client asks", async (t) => {
  const rig = await setUp(t, { retries: { patienceMs: 60_000, firstPauseMs: 300, maxPauseMs: 300 } });
  rig.trouble = gone;
  const started = performance.now();
  for (let n = 0; n < 3; n++) t.is((await readAll(rig)).status, Status.jukebox);
  // One fetch, joined by whoever asks again: a pause is at least half of what it may be.
  t.true(rig.requests <= 2 + (performance.now() - started) / 150, `${rig.requests} requests`);
});
