/** `rw` live layers: changes go through at once, two unions that share a place see each other's, and nothing enters a journal. */
import fs from "node:fs";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import test, { type ExecutionContext } from "ava";
import { LiveProcess } from "../../../cowfs/layers/live/process.ts";
import type { LiveOpening } from "../../../cowfs/layers/live/protocol.ts";
import { makeFastDirectory } from "../fast-directory.ts";
import { nfs } from "../nfs/client.ts";
import { encode } from "../nfs/encoder.ts";
import { makeFile, mount, serveExport } from "../nfs/fixture.ts";
import { attributes as sattr } from "../nfs/results.ts";
import { directory, file } from "../union/layers.ts";
import { openScratch, type Scratch } from "../union/scratch.ts";
import { root } from "../union/snapshot.ts";
import { attributes, readLink, refuses, write } from "./conformance.ts";

const kinds = ["host directory", "remote NFSv3"] as const;

interface Shared {
  /** Two unions that mount the place at `/s`, over a directory of the journal's that holds `own`. */
  readonly unions: readonly [Scratch, Scratch];
  /** What the place holds itself. */
  names(at: string): Promise<string[]>;
  read(at: string): Promise<string>;
}

async function share(t: ExecutionContext, kind: (typeof kinds)[number], access = "rw"): Promise<Shared> {
  const { open, names, read } = kind === "host directory" ? shareDirectory(t) : await shareUnion(t);
  const files = new LiveProcess(open);
  t.teardown(() => files.close());
  const live = { "live://it": { id: "live://it", isLive: true, isWritable: open.isWritable, files } as const };
  const openOne = async () => {
    const scratch = await openScratch(t, { layers: { "test://sealed": directory({ sealed: file("s") }) }, live });
    await scratch.makeDirectory("/s");
    await scratch.write("/s/own", "own");
    await scratch.write("/s/.mount", `${access} live://it\n.\ntest://sealed\n`);
    return scratch;
  };
  return { unions: [await openOne(), await openOne()], names, read };
}

function shareDirectory(t: ExecutionContext) {
  const home = fs.realpathSync(makeFastDirectory());
  t.teardown(() => fs.rmSync(home, { recursive: true }));
  const open: LiveOpening = { kind: "directory", path: home, isWritable: true };
  return {
    open,
    names: async (at: string) => fs.readdirSync(path.join(home, at)).sort(),
    read: async (at: string) => fs.readFileSync(path.join(home, at), "latin1"),
  };
}

async function shareUnion(t: ExecutionContext) {
  const remote = await openScratch(t, { layers: {} });
  const { port } = await serveExport(t, { fileSystem: remote.fs });
  const place = { host: "remote", address: "127.0.0.1", path: "/", nfsPort: port, mountPort: port };
  const open: LiveOpening = { kind: "nfs", ...place, isWritable: true };
  return { open, names: (at: string) => remote.names(`/${at}`), read: (at: string) => remote.read(`/${at}`) };
}

/** What another union does is seen within the time that attributes are believed. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + 60_000; !(await isSo()); await delay(50))
    if (performance.now() > end) throw new Error("waited in vain");
}

for (const kind of kinds) {
  test.serial(`${kind}: every change goes through, and the other union sees it`, async (t) => {
    const { unions, names, read } = await share(t, kind);
    const [s, other] = unions;
    await s.write("/s/a", "hello");
    t.is(await read("a"), "hello");
    await write(s, await s.find("/s/a"), 5, " world");
    t.is(await read("a"), "hello world");
    t.is(await s.read("/s/a"), "hello world");
    await until(async () => (await other.read("/s/a").catch(() => "")) === "hello world");
    await write(other, await other.find("/s/a"), 0, "HELLO");
    await until(async () => (await s.read("/s/a")) === "HELLO world");
    await s.makeDirectory("/s/d");
    await s.write("/s/d/x", "x");
    await s.set("/s/d/x", { mode: 0o600, uid: 12, gid: 34 });
    const { mode, uid, gid } = await attributes(s, "/s/d/x");
    t.deepEqual([mode & 0o7777, uid, gid], [0o600, 12, 34]);
    await s.set("/s/a", { size: 5 });
    t.is(await read("a"), "HELLO");
    const moved = await s.find("/s/d/x");
    await s.rename("/s/d/x", "/s/y");
    t.is(await s.find("/s/y"), moved);
    t.is(await s.read("/s/y"), "x");
    await s.run((fs) => fs.getAttributes(moved));
    await s.link("/s/y", "/s/d/z");
    t.is((await attributes(s, "/s/y")).links, 2);
    await s.change((fs) => fs.createSymlink(root, fs.lookup(root, fs.rootId, "s"), "l", "../etc", {}));
    t.is(await readLink(s, "/s/l"), "../etc");
    t.deepEqual(await names("."), ["a", "d", "l", "y"]);
    await s.remove("/s/y");
    await s.remove("/s/d/z");
    await s.removeDirectory("/s/d");
    t.deepEqual(await names("."), ["a", "l"]);
    t.deepEqual(await s.names("/s"), [".mount", "a", "l", "own", "sealed"]);
    await until(async () => (await other.names("/s")).join() === ".mount,a,l,own,sealed");
  });

  test.serial(`${kind}: what is refused changes nothing, errno for errno`, async (t) => {
    const { unions, names } = await share(t, kind);
    const [s] = unions;
    await s.write("/s/a", "a");
    await s.makeDirectory("/s/d");
    await s.write("/s/d/x", "x");
    const top = await s.find("/s");
    await refuses(
      s.change((fs) => fs.createFile(root, top, "a", {}, { kind: "guarded" })),
      "EEXIST",
    );
    await refuses(
      s.change((fs) => fs.createDirectory(root, top, "own", {})),
      "EEXIST",
    );
    await refuses(s.removeDirectory("/s/d"), "ENOTEMPTY");
    await refuses(s.remove("/s/missing"), "ENOENT");
    await refuses(s.remove("/s/d"), "EISDIR");
    await refuses(s.rename("/s/a", "/outside"), "EXDEV");
    await refuses(s.rename("/s/own", "/s/a"), "EXDEV");
    await refuses(s.link("/s/a", "/outside"), "EXDEV");
    await refuses(s.rename("/s/d", "/s/d/e"), "EINVAL");
    await refuses(s.write("/s/.wh.a", ""), "EINVAL");
    const nobody = { uid: 1000, gid: 1000, groups: [] };
    const id = await s.find("/s/a");
    await refuses(
      s.change((fs) => fs.write(nobody, id, 0, Buffer.from("x"))),
      "EACCES",
    );
    await refuses(
      s.change((fs) => fs.setAttributes(nobody, id, { mode: 0o777 })),
      "EPERM",
    );
    await refuses(
      s.change((fs) => fs.removeFile(nobody, top, "a")),
      "EACCES",
    );
    t.deepEqual(await names("."), ["a", "d"]);
    t.deepEqual(await names("d"), ["x"]);
  });
}

test.serial(
  "a read-only layer in the same place is EROFS, and rw for it is refused where the operator says ro",
  async (t) => {
    const { unions, names } = await share(t, "host directory", "ro");
    const [s] = unions;
    t.deepEqual(await s.names("/s"), [".mount", "own", "sealed"]);
    await s.write("/s/mine", "mine");
    t.deepEqual(await names("."), [], "it went to the journal");
    const home = fs.realpathSync(makeFastDirectory());
    t.teardown(() => fs.rmSync(home, { recursive: true }));
    fs.writeFileSync(path.join(home, "f"), "f");
    const files = new LiveProcess({ kind: "directory", path: home, isWritable: false });
    t.teardown(() => files.close());
    const live = { "live://it": { id: "live://it", isLive: true, isWritable: false, files } as const };
    const only = await openScratch(t, { layers: {}, live });
    await only.makeDirectory("/s");
    await only.write("/s/.mount", "rw live://it\n.\n");
    await refuses(only.names("/s"), "EIO");
    t.regex(only.errors[0].message, /\/s\/\.mount:1: 'live:\/\/it' may only be read/);
    await only.write("/s/.mount", ".\nrw live://it\n");
    await refuses(only.names("/s"), "EIO");
    t.regex(only.errors.at(-1)!.message, /would not be written to/);
    await only.write("/s/.mount", "ro live://it\n.\n");
    await refuses(
      only.change((fs) => fs.write(root, fs.lookup(root, fs.lookup(root, fs.rootId, "s"), "f"), 0, Buffer.from("x"))),
      "EROFS",
    );
    t.is(fs.readFileSync(path.join(home, "f"), "utf8"), "f");
  },
);

test.serial("through NFS: created, written, removed, and a name that is made again and again", async (t) => {
  const { unions, names } = await share(t, "host directory");
  const { connect } = await serveExport(t, { fileSystem: unions[0].fs });
  const client = await connect();
  const top = await mount(client);
  const found = await client.call(nfs.lookup, encode().opaque(top).string("s"));
  t.is(found.u32(), 0);
  const shared = found.opaque();
  for (let round = 0; round < 10; round++) {
    await makeFile(client, shared, "again", `round ${round}`);
    t.deepEqual(await names("."), ["again"]);
    t.is((await client.call(nfs.remove, encode().opaque(shared).string("again"))).u32(), 0);
    t.deepEqual(await names("."), []);
  }
  t.is((await client.call(nfs.remove, encode().opaque(shared).string("again"))).u32(), 2);
  const made = await client.call(
    nfs.mkdir,
    encode()
      .opaque(shared)
      .string("d")
      .raw(sattr({ mode: 0o755 })),
  );
  t.is(made.u32(), 0);
  // At the same time, from two clients: one makes it.
  const second = await connect();
  const make = (from: typeof client) =>
    from.call(
      nfs.mkdir,
      encode()
        .opaque(shared)
        .string("both")
        .raw(sattr({ mode: 0o755 })),
    );
  const statuses = (await Promise.all([make(client), make(second)])).map((reply) => reply.u32());
  t.deepEqual(statuses.sort(), [0, 17]);
});
