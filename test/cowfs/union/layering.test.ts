/** What the journal lays over layers: whiteouts, opaque directories, copy-up, and identity that none of them moves. */
import fs from "node:fs";
import path from "node:path";
import test, { type ExecutionContext } from "ava";
import { Fault } from "../../../cowfs/fault.ts";
import { createFileNode, type TreeNode } from "../../../cowfs/trees/node.ts";
import { directory, file, symlink } from "./layers.ts";
import { openScratch, type Scratch } from "./scratch.ts";
import { root } from "./snapshot.ts";

const open = (t: ExecutionContext, base: TreeNode) =>
  openScratch(t, { base: "test://base", layers: { "test://base": base } });

/** Over a weaker layer, as an overlay lies over a template. */
const openOver = (t: ExecutionContext, strong: TreeNode, weak: TreeNode) => {
  strong.children!.set(".mount", file("test://weak"));
  return openScratch(t, { base: "test://strong", layers: { "test://strong": strong, "test://weak": weak } });
};

test("what a layer hides stays hidden: whiteouts, opaque directories, files over directories", async (t) => {
  const weak = directory({
    gone: file("g"),
    opaque: directory({ below: file("b") }),
    merged: directory({ below: file("b"), gone: directory({ x: file("x") }) }),
    file: directory({ below: file("b") }),
    directory: file("f"),
  });
  const strong = directory({
    gone: "whiteout",
    never: "whiteout",
    opaque: directory({ above: file("a") }, true),
    merged: directory({ above: file("a"), gone: "whiteout" }),
    file: file("over a directory"),
    directory: directory({ above: file("a") }),
  });
  const s = await openOver(t, strong, weak);
  t.deepEqual(await s.names("/"), [".mount", "directory", "file", "merged", "opaque"]);
  t.deepEqual(await s.names("/opaque"), ["above"]);
  t.deepEqual(await s.names("/merged"), ["above", "below"]);
  t.deepEqual(await s.names("/directory"), ["above"]);
  t.is(await s.read("/file"), "over a directory");
  for (const name of ["gone", "never"]) {
    await t.throwsAsync(() => s.find(`/${name}`), { code: "ENOENT" });
    await s.write(`/${name}`, "new");
    t.is(await s.read(`/${name}`), "new");
    await s.remove(`/${name}`);
    await t.throwsAsync(() => s.find(`/${name}`), { code: "ENOENT" });
  }
});

test("a directory that was removed and made again is empty and another", async (t) => {
  const s = await open(t, directory({ d: directory({ a: file("a") }) }));
  const [old, oldFile] = [await s.find("/d"), await s.find("/d/a")];
  await s.remove("/d/a");
  await s.removeDirectory("/d");
  await s.makeDirectory("/d");
  for (const when of ["at once", "after opening again"]) {
    t.deepEqual(await s.names("/d"), [], when);
    t.not(await s.find("/d"), old);
    for (const id of [old, oldFile])
      await t.throwsAsync(() => s.run((fs) => fs.getAttributes(id)), { code: "ESTALE" }, when);
    await s.reopen();
  }
});

test("a merged directory that is renamed keeps its content, its id and what was changed in it", async (t) => {
  const weak = directory({ d: directory({ weak: file("w"), both: file("w"), sub: directory({ deep: file("d") }) }) });
  const strong = directory({ d: directory({ strong: file("s"), both: file("s") }), other: directory({}) });
  const s = await openOver(t, strong, weak);
  await s.write("/d/own", "o");
  await s.remove("/d/weak");
  const ids = [await s.find("/d"), await s.find("/d/both"), await s.find("/d/sub"), await s.find("/d/sub/deep")];
  await s.rename("/d", "/other/moved");
  await s.makeDirectory("/d");
  for (let again = 0; again < 2; again++) {
    t.deepEqual(await s.names("/other/moved"), ["both", "own", "strong", "sub"]);
    t.deepEqual(await s.names("/d"), []);
    const now = ["", "/both", "/sub", "/sub/deep"].map((at) => s.find(`/other/moved${at}`));
    t.deepEqual(await Promise.all(now), ids);
    t.is(await s.find("/other/moved/.."), await s.find("/other"));
    t.is(await s.find("/other/moved/sub/.."), ids[0]);
    await s.reopen();
  }
  t.is(await s.run((fs) => fs.getAttributes(fs.lookup(root, fs.rootId, "other")).links), 3);
});

test("names of one file stay one file across copy-up, in every directory", async (t) => {
  const shared = file("shared");
  const s = await open(t, directory({ a: shared, d: directory({ b: shared }) }));
  const id = await s.find("/a");
  t.is(await s.find("/d/b"), id);
  await s.write("/d/b", "changed through one name");
  t.is(await s.read("/a"), "changed through one name");
  await s.link("/a", "/c");
  await s.reopen();
  t.deepEqual([await s.find("/a"), await s.find("/d/b"), await s.find("/c")], [id, id, id]);
  t.is(await s.run((fs) => fs.getAttributes(id).links), 3);
  await s.remove("/a");
  await s.remove("/d/b");
  t.is(await s.read("/c"), "changed through one name");
  await s.remove("/c");
  for (let again = 0; again < 2; again++) {
    await t.throwsAsync(() => s.run((fs) => fs.getAttributes(id)), { code: "ESTALE" });
    await s.reopen();
  }
});

test("ids survive copy-up, rename and opening again; a new file never gets an old one", async (t) => {
  const s = await open(t, directory({ f: file("f"), l: symlink("f"), d: directory({}) }));
  const paths = ["/f", "/l", "/d", "/new"];
  await s.write("/new", "n");
  const ids = await Promise.all(paths.map((at) => s.find(at)));
  await s.set("/f", { mode: 0o600 });
  await s.set("/l", { uid: 7 });
  await s.set("/d", { mode: 0o700 });
  for (const at of paths) await s.rename(at, `${at}-moved`);
  await s.reopen();
  t.deepEqual(await Promise.all(paths.map((at) => s.find(`${at}-moved`))), ids);
  const removed = await s.find("/new-moved");
  await s.remove("/new-moved");
  await s.reopen();
  t.true((await s.write("/new", "again")) > removed);
});

test("a file that was open without a name when the process died is gone, of a layer too", async (t) => {
  const s = await open(t, directory({ f: file("f") }));
  const ids = [await s.find("/f"), await s.write("/own", "o")];
  for (const id of ids) s.fs.retain(id);
  await s.remove("/f");
  await s.remove("/own");
  for (const id of ids) t.is(s.fs.getAttributes(id).links, 0);
  await s.reopen();
  for (const id of ids) await t.throwsAsync(() => s.run((fs) => fs.getAttributes(id)), { code: "ESTALE" });
  t.deepEqual(await s.names("/"), []);
});

test("extended attributes of a layer are seen, changed and removed one by one, also after copy-up and opening again", async (t) => {
  const node = file("f");
  node.attributes = new Map([
    ["user.a", Buffer.from("a")],
    ["user.b", Buffer.from("b")],
    ["security.capability", Buffer.from("c")],
  ]);
  const s = await open(t, directory({ f: node }));
  const id = await s.find("/f");
  const all = () =>
    s.fs.listExtendedAttributes(root, id).map((name) => `${name}=${s.fs.getExtendedAttribute(root, id, name)}`);
  t.deepEqual(all(), ["security.capability=c", "user.a=a", "user.b=b"]);
  await s.set("/f", { mode: 0o600 });
  t.deepEqual(all(), ["security.capability=c", "user.a=a", "user.b=b"]);
  await s.change((fs) => fs.removeExtendedAttribute(root, id, "user.a"));
  await s.change((fs) => fs.setExtendedAttribute(root, id, "user.b", Buffer.from("B"), "replace"));
  await s.change((fs) => fs.write(root, id, 0, Buffer.from("x")));
  await s.reopen();
  t.deepEqual(all(), ["user.b=B"]);
  await s.change((fs) => fs.setExtendedAttribute(root, id, "user.a", Buffer.from("new"), "create"));
  t.deepEqual(all(), ["user.a=new", "user.b=B"]);
});

test("attributes that were asked for before a change stay what they were", async (t) => {
  const s = await open(t, directory({ f: file("f") }));
  await s.write("/own", "o");
  for (const at of ["/f", "/own", "/"]) {
    await s.set(at, { mode: 0o711 });
    const id = await s.find(at);
    const before = s.fs.getAttributes(id);
    const copy = structuredClone(before);
    await s.set(at, { mode: 0o700, uid: 9 });
    t.deepEqual(before, copy);
    t.notDeepEqual(s.fs.getAttributes(id), before);
  }
});

test("a change never has an earlier time than what a layer claims", async (t) => {
  const node = file("f");
  node.modified = { seconds: 32_503_680_000, nanoseconds: 5 };
  const s = await open(t, directory({ f: node }));
  const before = s.fs.getAttributes(await s.find("/f"));
  t.deepEqual(before.modified, node.modified);
  await s.set("/f", { mode: 0o600 });
  const after = s.fs.getAttributes(await s.find("/f"));
  t.deepEqual(after.modified, node.modified);
  const { changed: a } = before;
  const { changed: b } = after;
  t.true(b.seconds > a.seconds || (b.seconds === a.seconds && b.nanoseconds > a.nanoseconds));
});

/** A file of 1 GiB whose bytes are nowhere: whoever reads them faults. */
function largeFile(): TreeNode {
  const chunkBytes = 2 ** 20;
  const pieces = Array.from({ length: 1024 }, (_, index) => ({
    offset: index * chunkBytes,
    length: chunkBytes,
    hash: index.toString(16).padStart(64, "0"),
  }));
  return createFileNode({ permissions: 0o644 }, pieces, 1024 * chunkBytes);
}

function storedBytes(s: Scratch): number {
  const segments = path.join(s.journal, "segments");
  return fs.readdirSync(segments).reduce((bytes, name) => bytes + fs.statSync(path.join(segments, name)).size, 0);
}

test("chmod, rename, link and the first write of a 1 GiB file move none of its bytes", async (t) => {
  const s = await open(t, directory({ large: largeFile() }));
  const id = await s.find("/large");
  await s.set("/large", { mode: 0o600 });
  await s.rename("/large", "/moved");
  await s.link("/moved", "/linked");
  t.is(storedBytes(s), 0);
  await s.change((fs) => fs.write(root, id, 500_000_000, Buffer.from("five")));
  t.is(storedBytes(s), 4);
  const { extents } = s.fs.core.journal.state.get(id);
  t.is(extents.length, 3);
  const { size, used } = s.fs.getAttributes(id);
  t.deepEqual([size, used], [2 ** 30, 2 ** 30]);
  await s.set("/moved", { size: 500_000_002 });
  t.is(extents.length, 2);
  const buffer = Buffer.alloc(2);
  t.is(s.fs.read(root, id, 500_000_000, 10, buffer, 0), 2);
  t.is(buffer.toString(), "fi");
  t.throws(() => s.fs.read(root, id, 499_999_999, 10, Buffer.alloc(10), 0), { any: true, instanceOf: Fault as never });
  await s.set("/moved", { size: 0 });
  t.is(s.fs.getAttributes(id).used, 0);
  t.is(storedBytes(s), 4);
});

test("a read that needs bytes of several places of a layer asks for all of them at once", async (t) => {
  const s = await open(t, directory({ large: largeFile() }));
  const id = await s.find("/large");
  await s.change((fs) => fs.write(root, id, 2 ** 20, Buffer.alloc(2 ** 20)));
  const error = t.throws(() => s.fs.read(root, id, 0, 3 * 2 ** 20, Buffer.alloc(3 * 2 ** 20), 0), {
    any: true,
    instanceOf: Fault as never,
  }) as unknown as Fault;
  t.is(error.needs.length, 2);
});

test("listing goes on where it was, while names are hidden, added, replaced and come back", async (t) => {
  const names = Array.from({ length: 40 }, (_, index) => `n${String(index).padStart(2, "0")}`);
  const s = await open(t, directory({ d: directory(Object.fromEntries(names.map((name) => [name, file(name)]))) }));
  const id = await s.find("/d");
  const seen: string[] = [];
  for (let cookie = 0, round = 0; ; round++) {
    const page = s.fs.list(root, id, cookie, 4);
    if (page.length === 0) break;
    seen.push(...page.map(({ name }) => name));
    cookie = page.at(-1)!.cookie;
    await s.write(`/d/n${String((round * 7) % 40).padStart(2, "0")}`, "replaced");
    await s.write("/d/temporary", "");
    await s.rename("/d/temporary", `/d/n${String((round * 11) % 40).padStart(2, "0")}`);
    if (round === 2) await s.reopen();
  }
  t.deepEqual(seen.sort(), names);
});
