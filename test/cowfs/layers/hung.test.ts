/** Live layers that hang, die or come back: who uses them hears EIO in time, and nobody else notices. */
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import test, { type ExecutionContext } from "ava";
import { LiveProcess } from "../../../cowfs/layers/live/process.ts";
import { makeFastDirectory } from "../fast-directory.ts";
import { encodeCall, mark, nfs } from "../nfs/client.ts";
import { encode } from "../nfs/encoder.ts";
import { makeFile, mount, serveExport } from "../nfs/fixture.ts";
import { openScratch, type Scratch } from "../union/scratch.ts";
import { refuses } from "./conformance.ts";

const deadlineMs = 3000;

async function mountAt(t: ExecutionContext, files: LiveProcess): Promise<Scratch> {
  t.teardown(() => files.close());
  const live = { "live://it": { id: "live://it", isLive: true, isWritable: false, files } as const };
  const scratch = await openScratch(t, { layers: {}, live });
  await scratch.makeDirectory("/live");
  await scratch.write("/live/.mount", "live://it");
  return scratch;
}

function shareDirectory(t: ExecutionContext): string {
  const directory = fs.realpathSync(makeFastDirectory());
  t.teardown(() => fs.rmSync(directory, { recursive: true }));
  fs.writeFileSync(path.join(directory, "f"), "content");
  return directory;
}

async function until(isSo: () => Promise<boolean> | boolean): Promise<void> {
  for (const end = performance.now() + 60_000; !(await isSo()); await delay(50))
    if (performance.now() > end) throw new Error("waited in vain");
}

/** A server that takes connections and never says a word. */
async function listenSilently(t: ExecutionContext): Promise<number> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => sockets.add(socket.on("error", () => {})));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as net.AddressInfo).port;
}

test.serial(
  "while one export waits for a remote that hangs, another answers, and so does the rest of the first",
  async (t) => {
    const port = await listenSilently(t);
    const place = {
      host: "silent",
      address: "127.0.0.1",
      path: "/",
      nfsPort: port,
      mountPort: port,
      isWritable: false,
    };
    const scratch = await mountAt(t, new LiveProcess({ kind: "nfs", ...place }, { deadlineMs: 120_000 }));
    const first = await serveExport(t, { fileSystem: scratch.fs, jukeboxMs: 90_000 });
    const second = await serveExport(t);
    const [hanging, busy, other] = [await first.connect(), await first.connect(), await second.connect()];
    const root = await mount(hanging);
    const answers = hanging.records.length;
    hanging.send(mark(encodeCall(nfs.lookup, encode().opaque(root).string("live").take(), { xid: 7 })));
    await until(() => first.exported.counters.waiting === 1);
    const otherRoot = await mount(other);
    for (let round = 0; round < 50; round++) {
      await makeFile(busy, root, `a${round}`, "a");
      await makeFile(other, otherRoot, `b${round}`, "b");
    }
    t.is(hanging.records.length, answers);
    t.is(first.exported.counters.waiting, 1);
  },
);

test.serial("what hangs is EIO after its deadline, and there again when it answers", async (t) => {
  const files = new LiveProcess({ kind: "directory", path: shareDirectory(t), isWritable: false }, { deadlineMs });
  const s = await mountAt(t, files);
  t.is(await s.read("/live/f"), "content");
  process.kill(files.pid!, "SIGSTOP");
  // What is known is believed for a while yet.
  await until(async () => (await errorOf(s.read("/live/f"))) === "EIO");
  t.deepEqual(await s.names("/"), ["live"]);
  await until(async () => (await s.read("/live/f").catch(() => "")) === "content");
});

test.serial("a process that is killed is started again by whoever asks next", async (t) => {
  const files = new LiveProcess({ kind: "directory", path: shareDirectory(t), isWritable: false });
  const s = await mountAt(t, files);
  t.is(await s.read("/live/f"), "content");
  const before = files.pid!;
  process.kill(before, "SIGKILL");
  await until(() => files.pid !== before);
  await until(async () => (await s.read("/live/f").catch(() => "")) === "content");
  t.not(files.pid, before);
});

test.serial("a place that is not there is EIO at its directory alone, with the line that names it", async (t) => {
  const s = await mountAt(t, new LiveProcess({ kind: "directory", path: "/no/such/place", isWritable: false }));
  await refuses(s.names("/live"), "EIO");
  t.regex(s.errors[0].message, /^\/live\/\.mount:1: 'live:\/\/it' cannot be mounted: /);
  t.deepEqual(await s.names("/"), ["live"]);
  await s.remove("/live/.mount");
  t.deepEqual(await s.names("/live"), []);
});

test.serial("a remote that talks nonsense is EIO", async (t) => {
  for (const nonsense of ["HTTP/1.1 400 Bad Request\r\n\r\n", "\xff\xff\xff\xff", "\x80\x00\x00\x04\x00\x00\x00\x00"]) {
    const server = net.createServer((socket) =>
      socket.on("error", () => {}).on("data", () => socket.write(nonsense, "latin1")),
    );
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as net.AddressInfo;
    const place = { host: "odd", address: "127.0.0.1", path: "/", nfsPort: port, mountPort: port, isWritable: false };
    const s = await mountAt(t, new LiveProcess({ kind: "nfs", ...place }, { deadlineMs }));
    await refuses(s.names("/live"), "EIO");
    t.regex(s.errors[0].message, /odd|connection|record|refuses|closed/);
    server.close();
  }
});

async function errorOf(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    () => "",
    (error) => error.code,
  );
}
