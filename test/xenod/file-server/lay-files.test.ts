import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { runWithFaults } from "../../../cowfs/fault.ts";
import { openUnion } from "../../../cowfs/union/union.ts";
import { openLayers } from "../../../templates/layers/open-layers.ts";
import { layFiles } from "../../../xenod/file-server/lay-files.ts";
import { locateFile } from "../../../xenod/file-server/locate-file.ts";
import { readTrust } from "../../../xenostore/keys/key-ring.ts";
import { makeStore, publishFiles } from "../published.ts";

const root = { uid: 0, gid: 0, groups: [] };
const { signal } = new AbortController();

async function open(t: ExecutionContext) {
  const published = await makeStore(t);
  const files = { "etc/motd": "the overlay's\n", "etc/hosts": "localhost\n", "srv/data": "1\n" };
  const url = await publishFiles(published, "service", files);
  const layers = openLayers({
    store: published.store,
    trust: readTrust(published.trustDirectory),
    cacheDirectory: join(published.directory, "cache"),
  });
  const journal = join(published.directory, "journal");
  const reopen = () => openUnion({ journal, base: url, resolve: layers.resolve, signal });
  let union = await reopen();
  t.teardown(async () => {
    await union.close();
    await layers.close();
  });
  const read = async (path: string) => {
    const id = await locateFile(union, path, signal);
    if (id === undefined) return undefined;
    const buffer = Buffer.alloc(1000);
    const length = await runWithFaults(() => union.read(root, id, 0, buffer.length, buffer, 0), signal);
    const { mode, uid, gid } = union.getAttributes(id);
    return { text: buffer.toString("utf8", 0, length), mode: mode & 0o7777, uid, gid };
  };
  return {
    read,
    union: () => union,
    async reopen() {
      await union.close();
      union = await reopen();
    },
  };
}

const lay = (path: string, text: string, mode = 0o644, uid = 0, gid = 0) => ({
  path,
  base64: Buffer.from(text).toString("base64"),
  mode,
  uid,
  gid,
});

test("files take the place of the overlay's, in directories that are made, and are there after a restart", async (t) => {
  const { union, read, reopen } = await open(t);
  const files = [
    lay("/etc/motd", "mine\n"),
    lay("/etc/secret", "s", 0o600, 33, 44),
    lay("/opt/a/b/é", ""),
    lay("//etc/./hosts", "hosts\n"),
  ];
  await layFiles(union(), files, signal);
  // A request whose answer was lost comes again.
  await layFiles(union(), files, signal);
  await reopen();
  t.deepEqual(await read("/etc/motd"), { text: "mine\n", mode: 0o644, uid: 0, gid: 0 });
  t.deepEqual(await read("/etc/secret"), { text: "s", mode: 0o600, uid: 33, gid: 44 });
  t.is((await read("/etc/hosts"))?.text, "hosts\n");
  t.is((await read(Buffer.from("/opt/a/b/é").toString("latin1")))?.text, "");
  t.is((await read("/srv/data"))?.text, "1\n");
});

test("links on the way are followed inside the root; a link of the file's own name is replaced", async (t) => {
  const { union, read } = await open(t);
  const link = (name: string, target: string) =>
    union().transact(undefined, () => {
      union().createSymlink(root, union().rootId, name, target, {});
      return Buffer.alloc(0);
    });
  link("up", "../../../../etc");
  link("dangling", "/made/below");
  link("motd", "/etc/motd");
  link("round", "round");
  await layFiles(union(), [lay("/up/motd", "up"), lay("/dangling/file", "here"), lay("/motd", "own")], signal);
  t.is((await read("/etc/motd"))?.text, "up");
  t.is((await read("/made/below/file"))?.text, "here");
  t.is((await read("/motd"))?.text, "own");
  await t.throwsAsync(layFiles(union(), [lay("/round/file", "")], signal), { code: "file-not-laid" });
});

for (const path of ["/", "/..", "/etc/../..", "/etc", "/etc/motd/below", "/../etc/passwd"])
  test(`no file is laid at ${path}`, async (t) => {
    const { union } = await open(t);
    await t.throwsAsync(layFiles(union(), [lay(path, "")], signal), {
      code: "file-not-laid",
      message: new RegExp(`^${path} cannot be laid over the root`),
    });
  });
