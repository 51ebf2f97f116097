/** What a guest may not name in a `.mount`: other schemes, the host, its network, and trees that no name table names. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import type { XenoError } from "../../../cowfs/errors.ts";
import { runWithFaults } from "../../../cowfs/fault.ts";
import { createDirectoryNode, createSymlinkNode } from "../../../cowfs/trees/node.ts";
import { openUnion, type UnionFileSystem } from "../../../cowfs/union/union.ts";
import { importTemplate } from "../../../templates/import/import-template.ts";
import type { LivePolicy } from "../../../templates/layers/live-policy.ts";
import { openLayers } from "../../../templates/layers/open-layers.ts";
import { createKey, readTrust, trustKey } from "../../../xenostore/keys/key-ring.ts";
import { beginPublication } from "../../../xenostore/publish/publication.ts";
import { openDirectoryStore } from "../../../xenostore/stores/directory-store.ts";

const root = { uid: 0, gid: 0, groups: [] };
const signal = AbortSignal.timeout(600_000);

interface Guest {
  readonly union: UnionFileSystem;
  readonly errors: XenoError[];
  /** Ids of trees: one that the name table has, and one of somebody else's that it has not. */
  readonly template: string;
  readonly hidden: string;
}

async function boot(t: ExecutionContext, live?: LivePolicy): Promise<Guest> {
  const home = mkdtempSync(join(tmpdir(), "guest-mounts-"));
  t.teardown(() => rmSync(home, { recursive: true }));
  const keys = join(home, "keys");
  const key = await createKey(keys, "publisher");
  await trustKey(keys, "templates", key.publicKey);
  const stranger = await createKey(keys, "stranger");
  const store = await openDirectoryStore(join(home, "store"));
  const trust = readTrust(keys);
  mkdirSync(join(home, "source"));
  writeFileSync(join(home, "source", "public"), "public");
  const from = { kind: "directory", directory: join(home, "source") } as const;
  const { treeId: template } = await importTemplate(from, { table: { store, trust }, key, name: "Test", version: "1" });
  const node = createDirectoryNode({ permissions: 0o755 });
  node.children.set("secret", createSymlinkNode({ permissions: 0o777 }, "secret"));
  const publication = await beginPublication(store);
  const published = await publication.commit(node, { owner: "somebody", name: "hidden", version: "1", key: stranger });
  const cacheDirectory = join(home, "cache");
  // Somebody who may had it open here, so that it is in the cache.
  const others = join(home, "others");
  await trustKey(others, "somebody", stranger.publicKey);
  const before = openLayers({ store, trust: readTrust(others), cacheDirectory });
  await before.open("xenostore://somebody/hidden@1", undefined);
  await before.close();
  const layers = openLayers({ store, trust, cacheDirectory, live });
  t.teardown(() => layers.close());
  const errors: XenoError[] = [];
  const journal = join(home, "journal");
  const onMountError = (error: XenoError) => errors.push(error);
  const union = await openUnion({ journal, base: "template://Test/1", resolve: layers.resolve, onMountError, signal });
  t.teardown(() => union.close());
  return { union, errors, template, hidden: published.treeId };
}

/** Makes a directory with a `.mount` of one line, as a guest does, and looks into it. */
async function tryMount({ union }: Guest, line: string): Promise<string[] | string> {
  const name = `d${Math.random()}`;
  union.transact(undefined, () => {
    const directory = union.createDirectory(root, union.rootId, name, { mode: 0o755 });
    const file = union.createFile(root, directory, ".mount", { mode: 0o644 }, { kind: "guarded" });
    union.write(root, file, 0, Buffer.from(`${line}\n`, "latin1"));
    return Buffer.alloc(0);
  });
  try {
    return await runWithFaults(() => {
      const directory = union.lookup(root, union.rootId, name);
      return union
        .list(root, directory, 0, 100)
        .map((entry) => entry.name)
        .sort();
    }, signal);
  } catch (thrown) {
    return (thrown as XenoError).code;
  }
}

test("a guest mounts what the name table names, by name and by hash, and nobody else's tree", async (t) => {
  const guest = await boot(t);
  t.deepEqual(await tryMount(guest, "template://Test/1"), [".mount", "public"]);
  t.deepEqual(await tryMount(guest, `template://blake3:${guest.template}`), [".mount", "public"]);
  t.is(await tryMount(guest, `template://blake3:${guest.hidden}`), "EIO");
  t.like(guest.errors.at(-1)?.cause, { code: "template-unknown" });
  t.is(await tryMount(guest, "xenostore://somebody/hidden"), "EIO", "its key is not trusted here");
});

test("no line of a guest's reaches the host, its files or its network", async (t) => {
  const asked: string[] = [];
  const server = http.createServer((request, response) => {
    asked.push(request.url!);
    response.end();
  });
  server.on("connection", () => asked.push("connection"));
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  const guest = await boot(t);
  const { hidden } = guest;
  for (const url of [
    "file:///etc",
    "file:///",
    "FILE:///etc",
    "afs://cell/root",
    `nfs://127.0.0.1:${port}/`,
    `nfs://localhost:${port}/`,
    `nfs://[::1]:${port}/`,
    `http://127.0.0.1:${port}/`,
    `https://localhost:${port}/`,
    "http://169.254.169.254/latest/meta-data/",
    "unix:///run/xenod.sock",
    "data:text/plain,x",
    "//etc",
    "/etc",
    "../../etc",
    "template://../../etc/passwd",
    "template:///etc",
    "template://Test/../Test/1",
    "template://Test/%2e%2e/1",
    `template://blake3:${hidden.toUpperCase()}`,
    `template://blake3:${hidden}/secret`,
    `template://${hidden}`,
    "xenostore://../templates/Test@1",
    "xenostore://somebody/../../trees/x",
    `xenostore://somebody/${hidden}`,
    `xenostore://127.0.0.1:${port}/x`,
    "xenostore://somebody@127.0.0.1/x",
  ]) {
    for (const line of [url, `ro ${url}`, `rw ${url}`]) {
      const errors = guest.errors.length;
      t.is(await tryMount(guest, line), "EIO", line);
      // Whoever runs the server is told the file and the line.
      t.regex(guest.errors.slice(errors).at(-1)?.message ?? "", /^\/d[0-9.e-]+\/\.mount:1: /, line);
    }
  }
  t.deepEqual(asked, []);
});

test("of the host, a guest mounts what the operator allowed, and reads nothing around it", async (t) => {
  const home = realpathSync(mkdtempSync(join(tmpdir(), "guest-mounts-")));
  t.teardown(() => rmSync(home, { recursive: true }));
  for (const name of ["www", "www/deep", "www2", "secret"]) mkdirSync(join(home, name));
  writeFileSync(join(home, "www", "page"), "page");
  symlinkSync("../secret", join(home, "www", "out"));
  const guest = await boot(t, { allow: [`ro file://${home}/www`] });
  t.deepEqual(await tryMount(guest, `ro file://${home}/www`), [".mount", "deep", "out", "page"]);
  t.deepEqual(await tryMount(guest, `file://${home}/www/deep`), [".mount"]);
  for (const line of [
    `ro file://${home}`,
    `ro file://${home}/www2`,
    `ro file://${home}/secret`,
    `ro file://${home}/www/../secret`,
    `ro file://${home}/www/out`,
    `ro file://${home}/www/%2e%2e/secret`,
    `rw file://${home}/www`,
    "ro file:///",
    "ro nfs://127.0.0.1/",
  ])
    t.is(await tryMount(guest, line), "EIO", line);
});
