import fs from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import test from "ava";
import { listLogFiles } from "../../../cowfs/journals/log-file.ts";
import { openLayers } from "../../../templates/layers/open-layers.ts";
import { BootPull } from "../../../xenod/file-server/boot-pull.ts";
import { serveUnion } from "../../../xenod/file-server/serve-union.ts";
import { ServedExport } from "../../../xenod/file-server/served-export.ts";
import { bindRaw } from "../../../xenod/links/raw-socket.ts";
import { readTrust } from "../../../xenostore/keys/key-ring.ts";
import { connect, nfs } from "../../cowfs/nfs/client.ts";
import { encode } from "../../cowfs/nfs/encoder.ts";
import { makeFile, mount } from "../../cowfs/nfs/fixture.ts";
import { makeStore, publishFiles } from "../published.ts";

/** Undefined for a descriptor that was closed since it was listed, as the listing's own. */
function readTarget(descriptor: string): string | undefined {
  try {
    return fs.readlinkSync(`/proc/self/fd/${descriptor}`, "utf8");
  } catch {
    return undefined;
  }
}

/** Makes every write to an open file fail: its descriptor is one that can only read. */
function breakFile(path: string): void {
  for (const name of fs.readdirSync("/proc/self/fd")) {
    const descriptor = Number(name);
    if (readTarget(name) !== path) continue;
    fs.closeSync(descriptor);
    const opened: number[] = [];
    while (opened.at(-1) !== descriptor) opened.push(fs.openSync("/dev/null", "r"));
    for (const other of opened.slice(0, -1)) fs.closeSync(other);
    return;
  }
  throw new Error(`${path} is not open`);
}

test.serial("an export whose journal failed is opened again from what was acknowledged, and says so", async (t) => {
  const published = await makeStore(t);
  const url = await publishFiles(published, "service", { "etc/motd": "hello\n" });
  const layers = openLayers({
    store: published.store,
    trust: readTrust(published.trustDirectory),
    cacheDirectory: join(published.directory, "cache"),
  });
  t.teardown(() => layers.close());
  const { handle: bound, port } = bindRaw("127.0.0.1", 0);
  const said: string[] = [];
  const journal = join(published.directory, "journal");
  const served = new ServedExport(
    "web",
    {
      format: 1,
      bootEpoch: 0,
      specification: { url, journal, listen: { host: "127.0.0.1", port }, requirePrivilegedPort: false },
    },
    {},
    {
      openLayer: layers.open,
      openLive: layers.openLive,
      pullBoot: (isBoot) => new BootPull({ traces: layers.traces, isBoot, log: (text) => said.push(text) }),
      listen: async () => ({ handle: bound, port }),
      beginEpoch: async () => {},
      eventsFile: join(published.directory, "events"),
      log: (text) => said.push(text),
    },
  );
  t.teardown(() => served.close());
  await served.open();
  const guest = await connect(port);
  t.teardown(() => guest.close());
  const root = await mount(guest);
  await makeFile(guest, root, "kept", "acknowledged");
  breakFile(listLogFiles(journal).at(-1)!.path);
  await t.throwsAsync(makeFile(guest, root, "lost", "never acknowledged"));
  const end = performance.now() + 60_000;
  while (served.status.state !== "serving" && performance.now() < end) await delay(20);
  t.is(served.status.state, "serving");
  t.is(served.status.failures, 1);
  t.regex(said.join("\n"), /export web: failed/);
  const again = await connect(port);
  t.teardown(() => again.close());
  const found = await again.call(nfs.lookup, encode().opaque(root).string("kept"));
  t.is(found.u32(), 0, "the handle from before, and the file");

  const handle = found.opaque();
  const segment = join(journal, "segments", "00000000");
  fs.writeFileSync(segment, fs.readFileSync(segment, "latin1").replace("acknowledged", "Acknowledged"), "latin1");
  t.is(served.status.damagedFiles, undefined);
  const read = await again.call(nfs.read, encode().opaque(handle).u64(0).u32(100));
  t.not(read.u32(), 0, "what does not verify is not given out");
  t.deepEqual(served.status.damagedFiles, [segment], "and the status says so");
});

test.serial(
  "an export that is unsafeAsync answers a change while the disk holds up every sync, and no other does",
  async (t) => {
    const published = await makeStore(t);
    const url = await publishFiles(published, "service", { "etc/motd": "hello\n" });
    const cacheDirectory = join(published.directory, "cache");
    const layers = openLayers({ store: published.store, trust: readTrust(published.trustDirectory), cacheDirectory });
    t.teardown(() => layers.close());
    // Where a sync has something to do: /tmp may lie in memory.
    const journals = await mkdtemp("/var/tmp/xd-journals-");
    t.teardown(() => rm(journals, { recursive: true, force: true }));
    const serve = async (unsafeAsync: boolean) => {
      const served = await serveUnion({
        ...{ url, resolve: layers.resolve, requirePrivilegedPort: false, signal: new AbortController().signal },
        ...{ journal: join(journals, String(unsafeAsync)), listen: { host: "127.0.0.1", port: 0 } },
        unsafeAsync,
      });
      t.teardown(() => served.close());
      const client = await connect(served.port);
      t.teardown(() => client.close());
      return { client, root: await mount(client) };
    };
    const [safe, unsafe] = [await serve(false), await serve(true)];
    const { fdatasync } = fs;
    const held = Promise.withResolvers<void>();
    let asked = 0;
    const hold = (file: number, settled: (error: Error | null) => void) => {
      asked++;
      void held.promise.then(() => fdatasync(file, settled));
    };
    Object.assign(fs, { fdatasync: hold });
    try {
      const waiting = makeFile(safe.client, safe.root, "safe");
      let isAnswered = false;
      waiting.then(
        () => (isAnswered = true),
        () => {},
      );
      await makeFile(unsafe.client, unsafe.root, "unsafe");
      const end = performance.now() + 60_000;
      while (asked < 2 && performance.now() < end) await delay(20);
      t.true(asked >= 2, "each has begun a sync");
      t.false(isAnswered);
      held.resolve();
      await waiting;
    } finally {
      Object.assign(fs, { fdatasync });
      held.resolve();
    }
  },
);

test("serveUnion serves one union on an address of the host, and refuses a taken one with nothing left open", async (t) => {
  const published = await makeStore(t);
  const url = await publishFiles(published, "service", { "etc/motd": "hello\n" });
  const cacheDirectory = await mkdtemp(join(tmpdir(), "xd-cache-"));
  t.teardown(() => rm(cacheDirectory, { recursive: true, force: true }));
  const layers = openLayers({ store: published.store, trust: readTrust(published.trustDirectory), cacheDirectory });
  t.teardown(() => layers.close());
  const serving = {
    url,
    resolve: layers.resolve,
    requirePrivilegedPort: false,
    signal: new AbortController().signal,
  };
  const journal = (name: string) => join(published.directory, name);
  const listen = { host: "127.0.0.1", port: 0 };
  const served = await serveUnion({ ...serving, journal: journal("one"), listen });
  t.teardown(() => served.close());
  const taken = { host: "127.0.0.1", port: served.port };
  await t.throwsAsync(serveUnion({ ...serving, journal: journal("two"), listen: taken }), { code: "listen-failed" });
  await t.throwsAsync(serveUnion({ ...serving, journal: journal("one"), listen }), { code: "in-use" });
  const other = await serveUnion({ ...serving, journal: journal("two"), listen });
  await other.close();
  const client = await connect(served.port);
  t.teardown(() => client.close());
  await makeFile(client, await mount(client), "note", "text");
});
