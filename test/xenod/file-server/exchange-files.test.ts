import { randomBytes } from "node:crypto";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { runWithFaults } from "../../../cowfs/fault.ts";
import { FileType } from "../../../cowfs/file-system.ts";
import { openUnion } from "../../../cowfs/union/union.ts";
import { openLayers } from "../../../templates/layers/open-layers.ts";
import { exchangeFiles } from "../../../xenod/file-server/exchange-files.ts";
import { locateFile } from "../../../xenod/file-server/locate-file.ts";
import { readTrust } from "../../../xenostore/keys/key-ring.ts";
import { makeStore, publishFiles } from "../published.ts";

const root = { uid: 0, gid: 0, groups: [] };
const { signal } = new AbortController();

/** A root, and what its guest does to it. */
async function open(t: ExecutionContext) {
  const published = await makeStore(t);
  const url = await publishFiles(published, "service", { "etc/shadow": "secret\n", "p/below": "of the overlay\n" });
  const layers = openLayers({
    store: published.store,
    trust: readTrust(published.trustDirectory),
    cacheDirectory: join(published.directory, "cache"),
  });
  const union = await openUnion({
    journal: join(published.directory, "journal"),
    base: url,
    resolve: layers.resolve,
    signal,
  });
  t.teardown(async () => {
    await union.close();
    await layers.close();
  });
  const find = async (path: string) => (await locateFile(union, path, signal))!;
  const change = (run: () => unknown) =>
    union.transact(undefined, () => {
      run();
      return Buffer.alloc(0);
    });
  const directory = await find("/p");
  return {
    union,
    find,
    change,
    exchange: (exchange: Parameters<typeof exchangeFiles>[1]) => exchangeFiles(union, exchange, signal),
    link: (name: string, target: string) => change(() => union.createSymlink(root, directory, name, target, {})),
    special: (name: string, type: number) => change(() => union.createSpecial(root, directory, name, type, 0, 0, {})),
    async remove(name: string) {
      await runWithFaults(() => change(() => union.removeFile(root, directory, name)), signal);
    },
  };
}

const file = (path: string, text: string) => ({
  ...{ path, base64: Buffer.from(text).toString("base64") },
  ...{ mode: 0o644, uid: 0, gid: 0 },
});

test("what is kept in place has the same inode and size, and only its content is new", async (t) => {
  const { exchange, find, union } = await open(t);
  await exchange({ kept: [file("/p/next", "one.")] });
  const id = await find("/p/next");
  const changes = union.changeCount;
  await exchange({ kept: [file("/p/next", "one.")] });
  t.is(union.changeCount, changes, "the same again changes nothing");
  const { read } = await exchange({ kept: [file("/p/next", "two.")], read: [{ path: "/p/next", maxBytes: 10 }] });
  t.is(await find("/p/next"), id);
  t.deepEqual(read, [{ size: 4, base64: Buffer.from("two.").toString("base64") }]);
});

test("what the guest put in the place of what is kept is replaced, and nothing that it leads to is touched", async (t) => {
  const { exchange, find, link, special, change, union, remove } = await open(t);
  const kept = [file("/p/next", "one.")];
  const read = [{ path: "/p/next", maxBytes: 10 }];
  const expected = { read: [{ size: 4, base64: kept[0]!.base64 }] };
  const spoilings: [string, () => unknown][] = [
    ["a link to a file of another size", () => link("next", "/etc/shadow")],
    ["a link to nowhere", () => link("next", "../../..//nowhere/at/all")],
    ["a link to itself", () => link("next", "next")],
    ["a pipe", () => special("next", FileType.fifo)],
    ["a device", () => special("next", FileType.character)],
    ["a longer file", () => exchange({ laid: [file("/p/next", "much longer")] })],
  ];
  for (const [what, spoil] of spoilings) {
    await exchange({ kept });
    await remove("next");
    await spoil();
    t.deepEqual(await exchange({ kept, read }), expected, what);
  }
  t.deepEqual(await exchange({ read: [{ path: "/etc/shadow", maxBytes: 100 }] }), {
    read: [{ size: 7, base64: Buffer.from("secret\n").toString("base64") }],
  });
  await remove("next");
  const directory = await find("/p");
  change(() => union.createDirectory(root, directory, "next", {}));
  await t.throwsAsync(exchange({ kept }), { code: "file-not-laid" });
});

test("of a file only its end is read, however long it says that it is, and nothing of what is none", async (t) => {
  const { exchange, link, special, change, union, find } = await open(t);
  const content = randomBytes(100_000);
  await exchange({ laid: [{ ...file("/p/output", ""), base64: content.toString("base64") }] });
  link("round", "round");
  link("away", "../../../../../proc/version");
  special("pipe", FileType.fifo);
  const id = await find("/p/output");
  const paths = ["/p/round", "/p/away", "/p/pipe", "/p", "/p/missing", "/p/output/below", "/.."];
  const read = [...paths, "/p/output"].map((path) => ({ path, maxBytes: 70_000 }));
  const found = (await exchange({ read })).read;
  t.deepEqual(
    found.slice(0, -1),
    paths.map(() => null),
  );
  t.deepEqual(found.at(-1), { size: 100_000, base64: content.subarray(30_000).toString("base64") });
  // A hole of many TiB is read as far as it was asked for.
  change(() => union.setAttributes(root, id, { size: 2 ** 45 }));
  const [hole] = (await exchange({ read: [{ path: "/p/output", maxBytes: 1000 }] })).read;
  t.deepEqual(hole, { size: 2 ** 45, base64: Buffer.alloc(1000).toString("base64") });
});
