/** A journal over one version of a template, laid over the next. */
import { existsSync } from "node:fs";
import fs from "node:fs/promises";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { runWithFaults } from "../../../cowfs/fault.ts";
import { type FileId, FileType } from "../../../cowfs/file-system.ts";
import { openUnion, type UnionFileSystem } from "../../../cowfs/union/union.ts";
import { openLayers } from "../../../templates/layers/open-layers.ts";
import { completeRestack, restackJournal } from "../../../templates/overlays/restack-journal.ts";
import { readTrust } from "../../../xenostore/keys/key-ring.ts";
import { makeStore, publishFiles } from "../../xenod/published.ts";

const root = { uid: 0, gid: 0, groups: [] };
const forever = new AbortController().signal;

const before = {
  "etc/kept": "one\n",
  "etc/edited": "one\n",
  "etc/removed": "one\n",
  "etc/mode": "one\n",
  "usr/lib/a": "a1",
  "usr/lib/b": "b1",
  "opt/moved/x": "x1",
  "opt/moved/y": "y1",
  "srv/gone/z": "z1",
};
const after = {
  "etc/kept": "two\n",
  "etc/edited": "two\n",
  "etc/removed": "two\n",
  "etc/mode": "two\n",
  "etc/new": "two\n",
  "usr/lib/b": "b2",
  "opt/moved/x": "x2",
  "opt/moved/w": "w2",
  "srv/gone/z": "z2",
  "srv/gone/more": "z2",
  "srv/own": "in the way",
};

async function setUp(t: ExecutionContext) {
  const published = await makeStore(t);
  const url = await publishFiles(published, "system", before);
  const { directory, store, trustDirectory } = published;
  const layers = openLayers({ store, trust: readTrust(trustDirectory), cacheDirectory: join(directory, "cache") });
  t.teardown(() => layers.close());
  const journal = join(directory, "journal");
  const open = async (base?: string) => await openUnion({ journal, base, resolve: layers.resolve, signal: forever });
  const publishNext = async () => {
    await publishFiles(published, "system", after, { version: "2" });
    return (await layers.resolveUrl(url)).tree;
  };
  return { url, layers, journal, open, publishNext };
}

/** Operations by path, as root. */
class Paths {
  readonly union: UnionFileSystem;

  constructor(union: UnionFileSystem) {
    this.union = union;
  }

  async find(path: string): Promise<FileId> {
    return await runWithFaults(
      () =>
        path
          .split("/")
          .filter(Boolean)
          .reduce((at, name) => this.union.lookup(root, at, name), this.union.rootId),
      forever,
    );
  }

  async change<T>(run: (directory: FileId, name: string) => T, path: string): Promise<T> {
    const names = path.split("/");
    const name = names.pop()!;
    const directory = await this.find(names.join("/"));
    return await runWithFaults(() => {
      let result: T;
      this.union.transact(undefined, () => {
        result = run(directory, name);
        return Buffer.alloc(0);
      });
      return result!;
    }, forever);
  }

  async write(path: string, text: string): Promise<void> {
    await this.change((directory, name) => {
      const id = this.union.createFile(root, directory, name, { mode: 0o644, size: 0 }, { kind: "unchecked" });
      this.union.write(root, id, 0, Buffer.from(text));
    }, path);
  }

  /** Every path with what it holds. */
  async list(at: FileId = this.union.rootId, prefix = ""): Promise<Record<string, string>> {
    const listed: Record<string, string> = {};
    const entries = await runWithFaults(() => this.union.list(root, at, 0, 1000), forever);
    for (const { name, id } of entries) {
      const { mode, size } = this.union.getAttributes(id);
      const path = `${prefix}${name}`;
      const type = mode & FileType.mask;
      if (type === FileType.directory) Object.assign(listed, await this.list(id, `${path}/`));
      else if (type === FileType.symlink) listed[path] = `-> ${this.union.readLink(root, id)}`;
      else if (type === FileType.regular) {
        const bytes = Buffer.alloc(size);
        await runWithFaults(() => this.union.read(root, id, 0, size, bytes, 0), forever);
        listed[path] = bytes.toString();
      }
    }
    return listed;
  }
}

async function changeAll(union: UnionFileSystem): Promise<void> {
  const paths = new Paths(union);
  await paths.write("etc/edited", "mine\n");
  await paths.write("own", "own\n");
  await paths.change((directory, name) => union.removeFile(root, directory, name), "etc/removed");
  const mode = await paths.find("etc/mode");
  for (const change of [{ uid: 5 }, { mode: 0o4711 }])
    await paths.change(() => union.setAttributes(root, mode, change), "etc/mode");
  const own = await paths.find("own");
  await paths.change((directory, name) => union.link(root, own, directory, name), "etc/own-too");
  await paths.change((directory, name) => union.createSymlink(root, directory, name, "../own", {}), "etc/link");
  await paths.change(
    (directory, name) => union.createSpecial(root, directory, name, FileType.fifo, 0, 0, { mode: 0o600 }),
    "pipe",
  );
  await paths.change(
    (directory, name) =>
      union.setExtendedAttribute(root, union.lookup(root, directory, name), "user.note", Buffer.from("yes"), "any"),
    "own",
  );
  const opt = await paths.find("opt");
  await paths.change((directory) => union.rename(root, opt, "moved", directory, "elsewhere"), "elsewhere");
  await paths.change((directory, name) => union.removeFile(root, directory, name), "srv/gone/z");
  await paths.change((directory, name) => union.removeDirectory(root, directory, name), "srv/gone");
  await paths.change((directory, name) => union.createDirectory(root, directory, name, { mode: 0o700 }), "srv/own");
  await paths.write("srv/own/file", "mine\n");
}

test("what the journal changed lies over the new tree, and all else is the new tree's", async (t) => {
  const { url, layers, journal, open, publishNext } = await setUp(t);
  const old = await open(url);
  await changeAll(old);
  await old.close();
  const tree = await publishNext();
  await restackJournal({ journal, url, tree, resolve: layers.resolve, signal: forever });
  const union = await open();
  t.teardown(() => union.close());
  const paths = new Paths(union);
  const shown = await paths.list();
  t.deepEqual(shown, {
    "elsewhere/x": "x1",
    "elsewhere/y": "y1",
    "etc/edited": "mine\n",
    "etc/kept": "two\n",
    "etc/link": "-> ../own",
    "etc/mode": "one\n",
    "etc/new": "two\n",
    "etc/own-too": "own\n",
    own: "own\n",
    "srv/own/file": "mine\n",
    "usr/lib/b": "b2",
  });
  t.like(union.getAttributes(await paths.find("etc/mode")), { uid: 5, mode: 0o104711 });
  t.is(await paths.find("own"), await paths.find("etc/own-too"));
  t.is(union.getAttributes(await paths.find("own")).links, 2);
  t.is(union.getExtendedAttribute(root, await paths.find("own"), "user.note").toString(), "yes");
  t.is(union.getAttributes(await paths.find("pipe")).mode, FileType.fifo | 0o600);
  t.is(union.core.journal.state.slots.values().next().value!.identity, tree);
  for (const rest of [".before", ".next"]) t.false(existsSync(`${journal}${rest}`));
});

test("a restacking that is killed at either rename leaves the old journal or the new one, and nothing beside it", async (t) => {
  const { url, layers, journal, open, publishNext } = await setUp(t);
  const old = await open(url);
  await new Paths(old).write("own", "own\n");
  await old.close();
  const tree = await publishNext();
  const shows = async () => {
    const union = await open();
    const { own, "etc/kept": kept } = await new Paths(union).list();
    await union.close();
    return [own, kept];
  };
  // Killed before the first rename, and between the two.
  await fs.cp(journal, `${journal}.next`, { recursive: true });
  await completeRestack(journal);
  t.deepEqual(await shows(), ["own\n", "one\n"]);
  await fs.rename(journal, `${journal}.before`);
  await fs.mkdir(`${journal}.next`);
  await completeRestack(journal);
  t.deepEqual(await shows(), ["own\n", "one\n"]);
  await restackJournal({ journal, url, tree, resolve: layers.resolve, signal: forever });
  // Killed before the old one was removed.
  await fs.mkdir(`${journal}.before`);
  await completeRestack(journal);
  t.deepEqual(await shows(), ["own\n", "two\n"]);
  t.false(existsSync(`${journal}.before`));
});
