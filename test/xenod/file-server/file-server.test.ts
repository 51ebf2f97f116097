import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import test, { type ExecutionContext } from "ava";
import { newCheckpointPath } from "../../../cowfs/journals/checkpoint-file.ts";
import { FileServerClient } from "../../../xenod/file-server/client.ts";
import { fileServerFiles } from "../../../xenod/file-server/files.ts";
import type { ExportSpecification } from "../../../xenod/file-server/protocol.ts";
import { findKeeper, startFileServer, stopFileServer } from "../../../xenod/file-server/start.ts";
import { readStartTime, waitUntilGone } from "../../../xenod/processes.ts";
import { listCachedFiles, treesOf } from "../../../xenostore/pull/cache-files.ts";
import { verifyCachedTree } from "../../../xenostore/pull/verify-cache.ts";
import { connect, nfs } from "../../cowfs/nfs/client.ts";
import { encode } from "../../cowfs/nfs/encoder.ts";
import { makeFile, mount } from "../../cowfs/nfs/fixture.ts";
import { attributes } from "../../cowfs/nfs/results.ts";
import { makeStore, publishFiles } from "../published.ts";
import { lookup, read, until, write } from "./guest-calls.ts";

async function start(t: ExecutionContext) {
  const published = await makeStore(t);
  await publishFiles(published, "malformed", { ".mount": "wo template://nothing\n" });
  await publishFiles(published, "homeless", { ".mount": "ro template://Debian/12/current\n" });
  const url = await publishFiles(published, "service", { "sbin/init": "#!/bin/sh\n", "etc/motd": "hello\n" });
  const state = join(published.directory, "state");
  const { storeDirectory: store, trustDirectory } = published;
  const client = new FileServerClient(state);
  t.teardown(async () => {
    await client.close();
    await stopFileServer(state);
  });
  const launch = () => startFileServer(state, { name: "test", store, trustDirectory });
  await launch();
  const specification: ExportSpecification = {
    url,
    journal: join(published.directory, "journal"),
    listen: { host: "127.0.0.1", port: 0 },
    requirePrivilegedPort: false,
  };
  return { state, client, specification, launch, url, storeDirectory: store };
}

test("an export answers with its layer, takes writes, and says when it was mounted and its init first read", async (t) => {
  const { client, specification } = await start(t);
  const before = Date.now();
  const { port, state, hasInit } = await client.putExport("web", specification);
  t.is(state, "serving");
  t.true(hasInit);
  const guest = await connect(port);
  t.teardown(() => guest.close());
  const root = await mount(guest);
  const etc = await lookup(guest, root, "etc");
  t.is((await read(guest, await lookup(guest, etc, "motd"))).toString(), "hello\n");
  const handle = await makeFile(guest, root, "note", "written");
  t.is((await read(guest, handle)).toString(), "written");
  t.is((await client.getExport("web")).events.init, undefined);
  await read(guest, await lookup(guest, await lookup(guest, root, "sbin"), "init"));
  const { events, counters } = await client.getExport("web");
  for (const event of ["layers", "opened", "listening", "mounted", "init"] as const)
    t.true(events[event]! >= before && events[event]! <= Date.now(), event);
  t.true(counters!.requests > 0);
  const { traffic } = await client.status();
  t.like(traffic[0], { from: "XenoServer test", to: "XenoStore" });
  t.true(traffic[0].bytes > 0);
});

test("the worker is killed while a client writes: nobody is refused, and every acknowledged byte is there", async (t) => {
  const { client, specification } = await start(t);
  const { port } = await client.putExport("web", specification);
  const first = (await client.status()).worker;
  let guest = await connect(port);
  t.teardown(() => guest.close());
  const handle = await makeFile(guest, await mount(guest), "log");
  const killAt = [60, 130];
  let reconnections = 0;
  for (let n = 0; n < 200; n++) {
    if (killAt.includes(n)) process.kill((await client.status()).worker, "SIGKILL");
    const data = Buffer.alloc(1000, `block ${n} `);
    for (;;) {
      // As a kernel does: the same request again, over a new connection, until it is answered.
      const status = await write(guest, handle, n * 1000, data, 5000 + n).catch(() => undefined);
      if (status === 0) break;
      t.is(status, undefined, "a write was refused");
      reconnections++;
      guest = await connect(port);
    }
  }
  t.true(reconnections >= 2);
  for (let n = 0; n < 200; n += 7) {
    const results = await guest.call(
      nfs.read,
      encode()
        .opaque(handle)
        .u64(n * 1000)
        .u32(1000),
    );
    t.is(results.u32(), 0);
    if (results.u32() === 1) results.raw(84);
    results.u64();
    t.true(results.opaque().equals(Buffer.alloc(1000, `block ${n} `)), `block ${n}`);
  }
  const { worker, exports } = await client.status();
  t.not(worker, first);
  t.is(typeof exports[0].events.mounted, "number", "what happened before is remembered");
});

test("control requests wait while the worker restarts, and are not refused", async (t) => {
  const { client, specification, state } = await start(t);
  await client.putExport("web", specification);
  const impatient = new FileServerClient(state, 0);
  t.teardown(() => impatient.close());
  const { worker } = await client.status();
  process.kill(worker, "SIGKILL");
  await waitUntilGone(worker, (await readStartTime(worker)) ?? "", 5_000);
  t.is((await impatient.getExport("web")).id, "web");
});

test("an export put twice is one; another one under its id is a conflict; removed, it is gone with its socket", async (t) => {
  const { client, specification, state } = await start(t);
  const { port } = await client.putExport("web", specification);
  t.is((await client.putExport("web", specification)).port, port);
  await t.throwsAsync(client.putExport("web", { ...specification, requirePrivilegedPort: true }), {
    code: "export-conflict",
  });
  await client.deleteExport("web");
  await client.deleteExport("web");
  await t.throwsAsync(client.getExport("web"), { code: "export-unknown" });
  await t.throwsAsync(connect(port), { code: "ECONNREFUSED" });
  t.deepEqual(await readdir(join(state, "exports")), []);
});

test("an export that cannot be opened is refused with the reason, and leaves nothing", async (t) => {
  const { client, specification, state } = await start(t);
  for (const [change, code] of [
    [{ url: "xenostore://demo/servce" }, "overlay-unknown"],
    [{ url: "xenostore://demo/malformed" }, "mount-malformed"],
    [{ url: "xenostore://demo/homeless" }, "mount-refused"],
    [{ url: "ftp://somewhere" }, "scheme-unknown"],
    [{ listen: { host: "127.0.0.1", port: 0, namespace: "no-such-namespace" } }, "listen-failed"],
    [{ listen: { host: "203.0.113.1", port: 0 } }, "listen-failed"],
    [{ journal: "relative" }, "request-invalid"],
  ] as const)
    await t.throwsAsync(client.putExport("web", { ...specification, journal: `${state}/${code}`, ...change }), {
      code,
    });
  t.deepEqual((await client.status()).exports, []);
  t.false(existsSync(join(state, "exports", "web.json")));
  t.is((await client.putExport("web", specification)).state, "serving");
});

test("the boot epoch counts the guest's resets across restarts of the worker", async (t) => {
  const { client, specification } = await start(t);
  await client.putExport("web", specification);
  await client.startEpoch("web");
  t.is((await client.startEpoch("web")).bootEpoch, 2);
  const { worker } = await client.status();
  process.kill(worker, "SIGKILL");
  await until(t, "a new worker", async () => (await client.status()).worker !== worker);
  t.is((await client.getExport("web")).bootEpoch, 2);
});

test("a keeper that was killed takes its worker along, and the next one serves the same exports", async (t) => {
  const { client, specification, state, launch } = await start(t);
  await client.putExport("web", specification);
  const { worker } = await client.status();
  const workerStart = (await readStartTime(worker))!;
  const keeper = (await findKeeper(state))!;
  process.kill(keeper.pid, "SIGKILL");
  t.true(await waitUntilGone(keeper.pid, keeper.startTime, 5_000));
  t.true(await waitUntilGone(worker, workerStart, 5_000));
  await launch();
  await until(t, "the export", async () => (await client.getExport("web")).state === "serving");
  const guest = await connect((await client.getExport("web")).port);
  t.teardown(() => guest.close());
  t.true((await mount(guest)).length > 0);
});

test("a checkpoint that fails while the guest goes on shows in the status and in the log", async (t) => {
  const { client, specification, state } = await start(t);
  const { port } = await client.putExport("web", specification);
  const guest = await connect(port);
  t.teardown(() => guest.close());
  const root = await mount(guest);
  const inTheWay = newCheckpointPath(specification.journal);
  await mkdir(inTheWay);
  // Until the log is so long that it is to be folded: 16 MiB.
  const target = "t".repeat(4000);
  for (let made = 0; made < 8000 && (await client.getExport("web")).checkpointFailure === undefined; made += 200) {
    const links = Array.from({ length: 200 }, (_, index) =>
      guest.call(
        nfs.symlink,
        encode()
          .opaque(root)
          .string(`link ${made + index}`)
          .raw(attributes())
          .string(target),
      ),
    );
    for (const link of links) t.is((await link).u32(), 0);
    guest.records.length = 0;
  }
  await until(t, "a failure", async () => (await client.getExport("web")).checkpointFailure !== undefined);
  t.regex((await client.getExport("web")).checkpointFailure!, /cannot fold the log/);
  t.is((await client.getExport("web")).state, "serving");
  t.regex(
    await readFile(join(state, "file-server.log"), "utf8"),
    /export web: no checkpoint of the journal: .*cannot fold/,
  );
  await rmdir(inTheWay);
});

test("what was read once is served with the store gone, also by a worker that is started anew", async (t) => {
  const { client, specification, state, storeDirectory } = await start(t);
  const { port } = await client.putExport("web", specification);
  let guest = await connect(port);
  t.teardown(() => guest.close());
  const path = async () => await lookup(guest, await lookup(guest, await mount(guest), "etc"), "motd");
  t.is((await read(guest, await path())).toString(), "hello\n");
  const trees = treesOf(fileServerFiles(state).cache);
  await until(t, "the bits on the disk", async () => {
    const [{ tree }] = await listCachedFiles(trees);
    return (await verifyCachedTree(trees, tree, AbortSignal.timeout(120_000)))!.bytes > 0;
  });
  await rename(storeDirectory, `${storeDirectory}.away`);
  const { worker } = await client.status();
  process.kill(worker, "SIGKILL");
  await until(t, "the export", async () => {
    const status = await client.status().catch(() => undefined);
    return status !== undefined && status.worker !== worker && status.exports[0]?.state === "serving";
  });
  guest = await connect(port);
  t.is((await read(guest, await path())).toString(), "hello\n");
});

test("stopping it leaves no process and no socket, and the exports for the next start", async (t) => {
  const { client, specification, state } = await start(t);
  await client.putExport("web", specification);
  const { worker, keeper } = await client.status();
  await stopFileServer(state);
  t.is(await readStartTime(worker), undefined);
  t.is(await readStartTime(keeper), undefined);
  t.false(existsSync(join(state, "file-server.sock")));
  t.true(existsSync(join(state, "exports", "web.json")));
});

test("a guest that has filled its journal's quota is told so, and keeps what it wrote", async (t) => {
  const { client, specification } = await start(t);
  const quotaBytes = 16 * 1024 * 1024;
  const { port } = await client.putExport("web", { ...specification, quotaBytes });
  const guest = await connect(port);
  t.teardown(() => guest.close());
  const file = await makeFile(guest, await mount(guest), "filler");
  const block = Buffer.alloc(64 * 1024, 7);
  const full = 28; // NFS3ERR_NOSPC
  const later = 10_008; // NFS3ERR_JUKEBOX
  let written = 0;
  for (let status = 0; status !== full; ) {
    status = await write(guest, file, written, block);
    if (status === 0) written += block.length;
    else if (status === later) await delay(20);
    else t.is(status, full);
    t.true(written < quotaBytes, "it never ends");
  }
  t.true(written > quotaBytes / 4, `${written} bytes found room`);
  t.deepEqual(await read(guest, file, 4096), block.subarray(0, 4096));
});
