/** One file server whose exports are spread over workers: what one has to do with another, and what not. */
import { closeSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { waitForDirectoryLock } from "../../../cowfs/journals/lock.ts";
import { FileServerClient } from "../../../xenod/file-server/client.ts";
import { fileServerFiles } from "../../../xenod/file-server/files.ts";
import { findKeeper, startFileServer, stopFileServer } from "../../../xenod/file-server/start.ts";
import { readStartTime, waitUntilGone } from "../../../xenod/processes.ts";
import { treesOf } from "../../../xenostore/pull/cache-files.ts";
import { evict } from "../../../xenostore/pull/evict.ts";
import { type Client, connect } from "../../cowfs/nfs/client.ts";
import { makeFile, mount } from "../../cowfs/nfs/fixture.ts";
import { makeBytes } from "../../xenostore/publish/sample.ts";
import { makeStore, publishFiles } from "../published.ts";
import { lookup, read, until, write } from "./guest-calls.ts";

const fileCount = 12;
const fileBytes = 200_000;
const contentBytes = fileCount * fileBytes;
const content = (file: number) => makeBytes(fileBytes, `file ${file}`);

/** Two workers and an overlay that is not here yet. */
async function start(t: ExecutionContext) {
  const published = await makeStore(t);
  const files = Array.from({ length: fileCount }, (_, file) => [`f${file}`, content(file)]);
  const url = await publishFiles(published, "service", Object.fromEntries(files));
  const state = join(published.directory, "state");
  const { storeDirectory: store, trustDirectory } = published;
  const client = new FileServerClient(state, 60_000);
  t.teardown(async () => {
    await client.close();
    await stopFileServer(state);
  });
  const launch = (workers: number) => startFileServer(state, { name: "test", store, trustDirectory, workers });
  await launch(2);
  const specify = (id: string) => ({
    url,
    journal: join(published.directory, `journal-${id}`),
    listen: { host: "127.0.0.1", port: 0 },
    requirePrivilegedPort: false,
  });
  const put = (id: string) => client.putExport(id, specify(id));
  const visit = async (id: string) => {
    const guest = await connect((await client.getExport(id)).port);
    t.teardown(() => guest.close());
    return { guest, root: await mount(guest) };
  };
  const serves = async (id: string, by: (process: number) => boolean) => {
    await until(t, `export ${id}`, async () => {
      const { state, process } = await client.getExport(id);
      return state === "serving" && by(process);
    });
    return (await client.getExport(id)).process;
  };
  return { client, published, state, launch, specify, put, visit, serves };
}

async function checkFile(t: ExecutionContext, guest: Client, root: Buffer, file: number): Promise<void> {
  const handle = await lookup(guest, root, `f${file}`);
  t.true((await read(guest, handle, fileBytes)).equals(content(file)), `file ${file}`);
}

/** The names of the programs that a process has started and that run. */
async function listChildren(pid: number): Promise<string[]> {
  const threads = await readdir(`/proc/${pid}/task`);
  const lists = threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/children`, "latin1").catch(() => ""));
  const children = (await Promise.all(lists)).join(" ").split(" ").filter(Boolean);
  return Promise.all(
    children.map(async (child) => (await readFile(`/proc/${child}/comm`, "latin1").catch(() => "")).trim()),
  );
}

async function kill(pid: number): Promise<void> {
  const started = (await readStartTime(pid)) ?? "";
  process.kill(pid, "SIGKILL");
  await waitUntilGone(pid, started, 60_000);
}

test.serial(
  "two exports of a tree that is pulled as it is read are served by two workers; each is killed, and the other's guest notices nothing",
  async (t) => {
    const { client, state, put, visit, serves } = await start(t);
    const [{ process: first }, { process: second }] = [await put("a"), await put("b")];
    t.is(first, (await client.status()).worker);
    t.not(second, first);
    const [a, b] = [await visit("a"), await visit("b")];
    const half = fileCount / 2;
    const readHalf = async ({ guest, root }: typeof a) => {
      for (let file = 0; file < half; file++) await checkFile(t, guest, root, file);
    };
    await Promise.all([readHalf(a), readHalf(b)]);
    const { pulled } = await client.status();
    t.true(pulled.demandedBytes > 0 && pulled.demandedBytes < contentBytes, "each chunk is fetched once");

    // The second: its guest repeats what it was not answered, and goes on; the first's connection stands.
    const note = await makeFile(b.guest, b.root, "note");
    t.is(await write(b.guest, note, 0, Buffer.from("acknowledged"), 77), 0);
    await kill(second);
    await checkFile(t, a.guest, a.root, 0);
    const again = await serves("b", (process) => process !== second);
    t.is((await client.status()).worker, first);
    const back = await visit("b");
    t.is(await write(back.guest, note, 0, Buffer.from("acknowledged"), 77), 0);
    t.is((await read(back.guest, note)).toString(), "acknowledged");
    await readHalf(back);

    // The first: the second's guest reads what is here, and what is not once there is a first worker again. Nobody takes the tree away.
    await kill(first);
    const { freedBytes } = await evict(treesOf(fileServerFiles(state).cache), 0);
    t.is(freedBytes, 0);
    await readHalf(back);
    for (let file = half; file < fileCount; file++) await checkFile(t, back.guest, back.root, file);
    t.is(await serves("b", () => true), again);
    t.not(await serves("a", (process) => process !== first), again);
    const { exports, worker } = await client.status();
    t.deepEqual(
      exports.map(({ id, process }) => [id, process === worker]),
      [
        ["a", true],
        ["b", false],
      ],
    );
  },
);

test.serial("all that can be asked about an export is asked of the worker that has it", async (t) => {
  const { client, state, specify, put, visit, serves } = await start(t);
  const a = await put("a");
  const { layers = [] } = a;
  const { journal, listen } = specify("b");
  await client.prepareExport("b", { listen, layers });
  const b = await put("b");
  t.not(b.process, a.process);
  t.is((await put("b")).process, b.process);
  await t.throwsAsync(client.putExport("b", specify("c")), { code: "export-conflict" });
  t.like(await client.startEpoch("b"), { bootEpoch: 1 });
  const file = { path: "/laid", base64: Buffer.from("laid").toString("base64"), mode: 0o644, uid: 0, gid: 0 };
  await client.layFiles("b", [file]);
  const { guest, root } = await visit("b");
  t.is((await read(guest, await lookup(guest, root, "laid"))).toString(), "laid");
  t.like(await client.exchangeFiles("b", { read: [{ path: "/laid", maxBytes: 10 }] }), { read: [{ size: 4 }] });
  await client.takeSnapshot({ journal, name: "one" });
  await client.forkSnapshot({ journal, name: "one", fork: `${journal}-fork`, lineage: "new" });
  t.deepEqual(
    (await client.listSnapshots(journal)).map(({ name }) => name),
    ["one"],
  );
  t.is((await client.follow({ journal, url: specify("b").url, lookOnly: true })).isChanged, false);
  t.is((await client.holdExport("b")).guestPorts.length, 1);
  t.is((await client.getExport("b")).state, "held");

  // Held, over a restart of both.
  await kill(b.process);
  await kill(a.process);
  await until(t, "b, held", async () => (await client.getExport("b")).state === "held");
  await client.serveExport("b");
  t.not(await serves("b", () => true), (await client.status()).worker);
  t.is((await client.getExport("b")).bootEpoch, 1);

  await client.deleteExport("b");
  await t.throwsAsync(client.getExport("b"), { code: "export-unknown" });
  t.deepEqual(await readdir(fileServerFiles(state, 1).exports), []);
  // Its journal is anybody's now, and so is its place.
  await client.dropSnapshot({ journal, name: "one" });
  t.deepEqual(await client.listSnapshots(journal), []);
  t.not((await put("b")).process, (await client.status()).worker);
});

test.serial(
  "(X2) the first worker is killed while another opens an export: it is opened once, where it was begun",
  async (t) => {
    const { client, published, state, specify, put, visit } = await start(t);
    const url = await publishFiles(published, "other", { f0: content(0) });
    const specification = { ...specify("d"), url };
    const { layers = [] } = await client.putExport("known", { ...specification, journal: specify("known").journal });
    await client.deleteExport("known");
    const [a, b] = [await put("a"), await put("b")];
    await put("c");
    // The second worker waits for its turn with the tree, until we let go of it.
    const tree = join(treesOf(fileServerFiles(state).cache), layers[0].tree);
    const lock = await waitForDirectoryLock(tree, "the tree", 60_000);
    const putting = client.putExport("d", specification);
    await until(t, "the second worker waits", async () => (await listChildren(b.process)).includes("flock"));
    await kill(a.process);
    closeSync(lock);
    t.is((await putting).process, b.process);
    const { guest, root } = await visit("d");
    await checkFile(t, guest, root, 0);
    t.is((await client.status()).exports.filter(({ id }) => id === "d").length, 1);
  },
);

test.serial(
  "with fewer workers, the first has the exports of those that are gone; without a keeper, none is left",
  async (t) => {
    const { client, state, launch, put, visit, serves } = await start(t);
    const [a, b] = [await put("a"), await put("b")];
    const { guest, root } = await visit("b");
    await makeFile(guest, root, "note", "kept");
    await launch(1);
    t.is(await serves("b", () => true), await serves("a", () => true));
    const moved = await visit("b");
    t.is((await read(moved.guest, await lookup(moved.guest, moved.root, "note"))).toString(), "kept");
    await launch(2);
    const c = await put("c");
    t.not(c.process, (await client.getExport("a")).process);
    const keeper = (await findKeeper(state))!;
    const started = await readStartTime(c.process);
    process.kill(keeper.pid, "SIGKILL");
    t.true(await waitUntilGone(c.process, started ?? "", 60_000));
    for (const { process } of [a, b]) t.is(await readStartTime(process), undefined);
  },
);
