/** What of a journal is published: what it shows now or what a snapshot showed, and nothing of live layers. */
import fs from "node:fs/promises";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { runWithFaults } from "../../../cowfs/fault.ts";
import type { FileSystem } from "../../../cowfs/file-system.ts";
import { Journal } from "../../../cowfs/journals/journal.ts";
import { openUnion } from "../../../cowfs/union/union.ts";
import { openLayers } from "../../../templates/layers/open-layers.ts";
import { publishOverlay } from "../../../templates/overlays/publish-overlay.ts";
import { readTrust, trustKey } from "../../../xenostore/keys/key-ring.ts";
import { root, walkTo } from "../../cowfs/union/snapshot.ts";
import { makeStore, publishFiles } from "../../xenod/published.ts";

const signal = AbortSignal.timeout(240_000);

async function setUp(t: ExecutionContext) {
  const published = await makeStore(t);
  const { directory, store, trustDirectory, key } = published;
  const base = await publishFiles(published, "system", { "etc/motd": "hello\n" });
  const live = await fs.realpath(directory).then((real) => join(real, "live"));
  await fs.mkdir(live);
  await fs.writeFile(join(live, "shared"), "of the host");
  await trustKey(trustDirectory, "demo", key.publicKey);
  const layers = openLayers({
    store,
    trust: readTrust(trustDirectory),
    cacheDirectory: join(directory, "cache"),
    live: { allow: [`ro file://${live}`] },
  });
  t.teardown(() => layers.close());
  const journal = join(directory, "journal");
  /** Runs operations on a journal over the base, and closes it. */
  const use = async (from: string, over: string | undefined, run: (union: FileSystem) => unknown[]) => {
    const union = await openUnion({ journal: from, base: over, resolve: layers.resolve, signal });
    try {
      return await runWithFaults(() => {
        let found: unknown[] = [];
        union.transact(undefined, () => {
          found = run(union);
          return Buffer.alloc(0);
        });
        return found;
      }, signal);
    } finally {
      await union.close();
    }
  };
  const publish = (source: string, name: string, snapshot?: string) =>
    publishOverlay({ layers, store, key, source, snapshot, url: `xenostore://demo/${name}`, signal });
  return { directory, base, live, journal, use, publish };
}

function write(union: FileSystem, at: string, content: string): unknown[] {
  const cut = at.lastIndexOf("/");
  const attributes = { mode: 0o644, size: 0 };
  const id = union.createFile(root, walkTo(union, root, at.slice(0, cut)), at.slice(cut + 1), attributes, {
    kind: "unchecked",
  });
  union.write(root, id, 0, Buffer.from(content));
  return [id];
}

function read(union: FileSystem, at: string): string {
  const id = walkTo(union, root, at);
  const bytes = Buffer.alloc(100);
  return bytes.toString("latin1", 0, union.read(root, id, 0, bytes.length, bytes, 0));
}

test("a snapshot is published by its name: what the journal showed then, while the journal keeps what it shows now", async (t) => {
  const { directory, base, journal, use, publish } = await setUp(t);
  await use(journal, base, (union) => write(union, "/etc/motd", "before"));
  const opened = Journal.open(journal);
  await opened.snapshots.take("kept");
  await opened.close();
  await use(journal, base, (union) => [...write(union, "/etc/motd", "after"), ...write(union, "/etc/new", "new")]);
  const then = await publish(journal, "then", "kept");
  const now = await publish(journal, "now");
  const show = (union: FileSystem) => [
    read(union, "/etc/motd"),
    union.list(root, walkTo(union, root, "/etc"), 0, 9).length,
  ];
  t.deepEqual(await use(join(directory, "one"), then.url, show), ["before", 1]);
  t.deepEqual(await use(join(directory, "two"), now.url, show), ["after", 2]);
  t.deepEqual(await use(journal, base, show), ["after", 2]);

  await t.throwsAsync(publish(journal, "unknown", "never"), { code: "pin-unknown" });
  await t.throwsAsync(publish(directory, "unknown", "kept"), { code: "source-missing" });
  const left = (await fs.readdir(directory)).filter((name) => name.includes("publishing"));
  t.deepEqual(left, []);
});

test("a .mount of a live layer is published, and nothing of the layer; what was changed of it is refused, and named", async (t) => {
  const { directory, base, live, journal, use, publish } = await setUp(t);
  await use(journal, base, (union) => {
    union.createDirectory(root, union.rootId, "srv", { mode: 0o755 });
    return [...write(union, "/srv/own", "own"), ...write(union, "/srv/.mount", `.\nro file://${live}\n`)];
  });
  t.deepEqual(await use(journal, base, (union) => [read(union, "/srv/shared")]), ["of the host"]);
  const { url } = await publish(journal, "mounted");
  await fs.writeFile(join(live, "shared"), "by now");
  const show = (union: FileSystem) => [read(union, "/srv/shared"), read(union, "/srv/own"), read(union, "/etc/motd")];
  t.deepEqual(await use(join(directory, "deployed"), url, show), ["by now", "own", "hello\n"]);

  await use(journal, base, (union) => {
    union.setAttributes(root, walkTo(union, root, "/srv/shared"), { mode: 0o600 });
    return [];
  });
  const error = await t.throwsAsync<Error & { code: string }>(publish(journal, "changed"), {
    code: "overlay-unsealable",
  });
  t.true(error!.message.includes(`file://${live}`), error!.message);
});

test("a journal that lies over nothing is published, with what it changed of the layer that its own .mount brings", async (t) => {
  const { directory, base, journal, use, publish } = await setUp(t);
  await use(journal, undefined, (union) => write(union, "/.mount", `.\nro ${base}\n`));
  await use(journal, undefined, (union) => [union.write(root, walkTo(union, root, "/etc/motd"), 0, Buffer.from("j"))]);
  const { url } = await publish(journal, "changed");
  t.deepEqual(await use(join(directory, "deployed"), url, (union) => [read(union, "/etc/motd")]), ["jello\n"]);
});
