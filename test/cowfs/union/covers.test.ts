/** Layers that a `.mount` names before `.`: what they show over the journal, and what cannot be changed under them. */
import test, { type ExecutionContext } from "ava";
import type { Caller } from "../../../cowfs/file-system.ts";
import { directory, file, symlink } from "./layers.ts";
import { openScratch, type Scratch } from "./scratch.ts";
import { listNames, root } from "./snapshot.ts";

const settings = directory({
  conf: directory({ fixed: file("fixed by the operator"), deep: directory({ x: file("x") }) }),
  gone: "whiteout",
  closed: directory({ only: file("only this") }, true),
  link: symlink("conf"),
  plain: file("plain"),
});
const base = directory({
  conf: directory({ fixed: file("the base's"), own: file("own"), deep: directory({ y: file("y") }) }),
  gone: file("hidden"),
  closed: directory({ secret: file("s") }),
  other: file("other"),
  plain: directory({ a: file("a") }),
});
const layers = { "test://settings": settings, "test://base": base };

async function openCovered(t: ExecutionContext): Promise<Scratch> {
  const s = await openScratch(t, { base: "test://base", layers });
  await s.write("/.mount", "ro test://settings\n.\n");
  return s;
}

const shown = {
  "/": [".mount", "closed", "conf", "link", "other", "plain"],
  "/conf": ["deep", "fixed", "own"],
  "/conf/deep": ["x", "y"],
  "/closed": ["only"],
};

test("a layer before `.` is stronger than what the journal and the layers below it hold", async (t) => {
  const s = await openCovered(t);
  for (let opening = 0; opening < 2; opening++) {
    for (const [at, names] of Object.entries(shown)) {
      t.deepEqual(await s.names(at), names, at);
      const id = await s.find(at);
      t.deepEqual(await s.run((fs) => listNames(fs, id)), names, `${at} in steps`);
    }
    t.is(await s.read("/conf/fixed"), "fixed by the operator");
    t.is(await s.read("/conf/own"), "own");
    t.is(await s.read("/conf/deep/y"), "y");
    t.is(await s.read("/plain"), "plain");
    await t.throwsAsync(() => s.find("/gone"), { code: "ENOENT" });
    await t.throwsAsync(() => s.find("/closed/secret"), { code: "ENOENT" });
    t.is(await s.find("/conf/deep/../.."), await s.find("/"));
    t.is(await s.find("/closed/.."), await s.find("/"));
    await s.reopen();
  }
  t.deepEqual(s.errors, []);
});

const refused: readonly (readonly [what: string, change: (s: Scratch) => Promise<unknown>])[] = [
  ["writing a covering file", (s) => s.write("/plain", "x")],
  [
    "writing into one",
    async (s) => {
      const id = await s.find("/conf/fixed");
      await s.change((fs) => fs.write(root, id, 0, Buffer.from("x")));
    },
  ],
  ["its mode", (s) => s.set("/plain", { mode: 0o600 })],
  ["its size", (s) => s.set("/plain", { size: 0 })],
  ["its times", (s) => s.set("/plain", { modified: "now" })],
  [
    "its extended attributes",
    async (s) => {
      const id = await s.find("/plain");
      await s.change((fs) => fs.setExtendedAttribute(root, id, "user.a", Buffer.from("x"), "any"));
    },
  ],
  ["another name for it", (s) => s.link("/plain", "/another")],
  ["removing it", (s) => s.remove("/plain")],
  ["removing a covering link", (s) => s.remove("/link")],
  ["moving it", (s) => s.rename("/plain", "/moved")],
  ["replacing it", (s) => s.rename("/other", "/plain")],
  ["the mode of a merged directory", (s) => s.set("/conf", { mode: 0o700 })],
  ["moving a merged directory", (s) => s.rename("/conf", "/elsewhere")],
  ["removing a covering directory", (s) => s.removeDirectory("/closed")],
  ["making a name that a covering whiteout hides", (s) => s.write("/gone", "x")],
  ["making a directory of that name", (s) => s.makeDirectory("/gone")],
  ["moving something there", (s) => s.rename("/other", "/gone")],
  ["making a name in an opaque covering directory", (s) => s.write("/closed/new", "x")],
  ["moving something into it", (s) => s.rename("/other", "/closed/other")],
];

for (const [what, change] of refused)
  test(`${what} is EROFS, and changes nothing`, async (t) => {
    const s = await openCovered(t);
    await t.throwsAsync(() => change(s), { code: "EROFS" });
    for (const [at, names] of Object.entries(shown)) t.deepEqual(await s.names(at), names, at);
  });

test("what exists is EEXIST, and what does not is ENOENT, before anything is EROFS", async (t) => {
  const s = await openCovered(t);
  const guarded = (name: string) => s.change((fs) => fs.createFile(root, fs.rootId, name, {}, { kind: "guarded" }));
  await t.throwsAsync(() => guarded("plain"), { code: "EEXIST" });
  await t.throwsAsync(() => s.makeDirectory("/conf"), { code: "EEXIST" });
  await t.throwsAsync(() => s.remove("/gone"), { code: "ENOENT" });
  await t.throwsAsync(() => s.remove("/closed/secret"), { code: "ENOENT" });
});

test("what no covering layer holds is written to the journal, in merged directories too", async (t) => {
  const s = await openCovered(t);
  await s.write("/conf/new", "new");
  await s.write("/conf/own", "changed");
  await s.makeDirectory("/conf/deep/made");
  await s.write("/conf/deep/made/f", "f");
  await s.remove("/conf/deep/y");
  await s.rename("/other", "/conf/deep/other");
  await s.link("/conf/own", "/own-too");
  for (let opening = 0; opening < 2; opening++) {
    t.deepEqual(await s.names("/conf"), ["deep", "fixed", "new", "own"]);
    t.deepEqual(await s.names("/conf/deep"), ["made", "other", "x"]);
    t.is(await s.read("/conf/deep/made/f"), "f");
    t.is(await s.read("/own-too"), "changed");
    t.is(await s.find("/conf/deep/made/.."), await s.find("/conf/deep"));
    await s.reopen();
  }
  await s.remove("/.mount");
  t.deepEqual(await s.names("/conf"), ["deep", "fixed", "new", "own"]);
  t.is(await s.read("/conf/fixed"), "the base's");
  t.deepEqual(await s.names("/conf/deep"), ["made", "other"]);
  t.deepEqual(await s.names("/"), ["closed", "conf", "gone", "own-too", "plain"]);
});

test("a directory that only the covering layer has can be written in, keeps its id and its files", async (t) => {
  const s = await openScratch(t, { layers });
  await s.write("/.mount", "test://settings\n.\n");
  const id = await s.find("/conf/deep");
  await s.write("/conf/deep/mine", "mine");
  await s.makeDirectory("/conf/deep/d");
  for (let opening = 0; opening < 2; opening++) {
    await s.run((fs) => fs.getAttributes(id));
    t.deepEqual(await s.names("/conf/deep"), ["d", "mine", "x"]);
    t.is(await s.find("/conf/deep"), id);
    t.is(await s.find("/conf/deep/d/../.."), await s.find("/conf"));
    await s.reopen();
    // By the handle alone, before anything else is opened.
    t.is(await s.run((fs) => fs.lookup(root, id, "..")), await s.find("/conf"));
    await s.reopen();
  }
  await s.write("/.mount", "# nothing\n");
  t.deepEqual(await s.names("/"), [".mount"]);
  await s.write("/.mount", "test://settings\n.\n");
  t.is(await s.read("/conf/deep/mine"), "mine");
});

test("a directory of the journal merges with the covering one of its name, keeps its id, and shows the other's mode", async (t) => {
  const s = await openScratch(t, { layers });
  await s.makeDirectory("/conf");
  await s.set("/conf", { mode: 0o711, uid: 5 });
  await s.write("/conf/fixed", "mine, hidden");
  await s.write("/conf/mine", "mine");
  const id = await s.find("/conf");
  await s.write("/.mount", "test://settings\n.");
  t.is(await s.find("/conf"), id);
  t.deepEqual(await s.names("/conf"), ["deep", "fixed", "mine"]);
  t.is(await s.read("/conf/fixed"), "fixed by the operator");
  const merged = await s.run((fs) => fs.getAttributes(id));
  t.is(merged.mode & 0o7777, 0o755);
  t.is(merged.uid, 0);
  t.is(merged.links, 3);
  await s.reopen();
  t.is((await s.run((fs) => fs.getAttributes(id))).mode & 0o7777, 0o755);
  t.deepEqual(await s.names("/conf"), ["deep", "fixed", "mine"]);
  await s.remove("/.mount");
  const own = await s.run((fs) => fs.getAttributes(id));
  t.is(own.mode & 0o7777, 0o711);
  t.is(own.links, 2);
  t.is(await s.read("/conf/fixed"), "mine, hidden");
});

test("a file of the journal under a covering directory is hidden, and nothing can be made in its place", async (t) => {
  const s = await openScratch(t, { layers });
  await s.write("/conf", "a file");
  await s.write("/.mount", "test://settings\n.");
  t.deepEqual(await s.names("/conf"), ["deep", "fixed"]);
  await t.throwsAsync(() => s.write("/conf/new", ""), { code: "EROFS" });
  await s.remove("/.mount");
  t.is(await s.read("/conf"), "a file");
});

test("a directory that is moved out from under a cover, or into one, shows what lies over it there", async (t) => {
  const s = await openScratch(t, {
    layers: { ...layers, "test://over": directory({ b: directory({ over: file("o") }) }) },
  });
  await s.makeDirectory("/m");
  await s.makeDirectory("/m/a");
  await s.makeDirectory("/m/a/b");
  await s.write("/m/a/b/mine", "m");
  await s.write("/m/a/.mount", "test://over\n.");
  t.deepEqual(await s.names("/m/a/b"), ["mine", "over"]);
  await s.rename("/m/a", "/moved");
  t.deepEqual(await s.names("/moved/b"), ["mine", "over"]);
  await s.makeDirectory("/b");
  await s.rename("/moved/.mount", "/.mount");
  t.deepEqual(await s.names("/moved/b"), ["mine"]);
  t.deepEqual(await s.names("/b"), ["over"]);
  await t.throwsAsync(() => s.rename("/moved/b", "/b"), { code: "EROFS" });
  await s.reopen();
  t.deepEqual(await s.names("/moved/b"), ["mine"]);
  t.deepEqual(await s.names("/b"), ["over"]);
});

test("layers of covering layers: their own .mount files, at the root and at depth, lie over the journal as well", async (t) => {
  const inner = directory({
    ".mount": file("test://first\n.\ntest://last"),
    a: file("inner"),
    d: directory({ ".mount": file("test://deep"), own: file("own") }),
  });
  const s = await openScratch(t, {
    layers: {
      "test://inner": inner,
      "test://first": directory({ a: file("first") }),
      "test://last": directory({ a: file("last"), z: file("z") }),
      "test://deep": directory({ own: file("hidden"), deeper: directory({ x: file("x") }) }),
    },
  });
  await s.write("/a", "the journal's");
  await s.write("/.mount", "test://inner\n.");
  for (let opening = 0; opening < 2; opening++) {
    t.is(await s.read("/a"), "first");
    t.deepEqual(await s.names("/"), [".mount", "a", "d", "z"]);
    t.deepEqual(await s.names("/d"), ["deeper", "own"]);
    t.is(await s.read("/d/own"), "own");
    t.is(await s.read("/d/deeper/x"), "x");
    await t.throwsAsync(() => s.write("/d/deeper/x", ""), { code: "EROFS" });
    await s.reopen();
  }
  t.is(await s.read("/.mount"), "test://inner\n.");
  t.deepEqual(s.errors, []);
});

test("before `.` in a layer's own .mount is stronger than that layer, and weaker than the journal", async (t) => {
  const outer = directory({ ".mount": file("test://settings\n.\ntest://base"), plain: file("o"), own: file("own") });
  const s = await openScratch(t, { base: "test://outer", layers: { ...layers, "test://outer": outer } });
  t.is(await s.read("/plain"), "plain");
  t.is(await s.read("/own"), "own");
  t.is(await s.read("/conf/fixed"), "fixed by the operator");
  t.deepEqual(await s.names("/"), [".mount", "closed", "conf", "link", "other", "own", "plain"]);
  await s.write("/plain", "written");
  await s.write("/gone", "made");
  await s.write("/closed/new", "n");
  // The mode of the file is not what it says.
  await s.set("/.mount", { mode: 0o600 });
  for (let opening = 0; opening < 2; opening++) {
    t.is(await s.read("/plain"), "written");
    t.is(await s.read("/gone"), "made");
    t.deepEqual(await s.names("/closed"), ["new", "only"]);
    await s.reopen();
  }
  // Written anew it is the journal's.
  await s.write("/.mount", "test://settings\n.\ntest://base");
  t.is(await s.read("/plain"), "plain");
  await t.throwsAsync(() => s.write("/plain", "again"), { code: "EROFS" });
});

test("a sealed layer that is to be written is refused, with file and line", async (t) => {
  const s = await openScratch(t, { layers });
  await s.write("/.mount", ".\nrw test://base\n");
  await t.throwsAsync(() => s.names("/"), {
    code: "EIO",
    message: "/.mount:2: 'test://base' cannot be written: it is a sealed layer",
  });
  t.is(s.errors.at(-1)?.code, "mount-refused");
});

test("who may not search a covering directory is refused by its mode, not the journal's", async (t) => {
  const closed = { ...directory({ f: file("f") }), mode: 0o040700 };
  const s = await openScratch(t, { layers: { "test://closed": directory({ d: closed }) } });
  await s.makeDirectory("/d");
  await s.write("/.mount", "test://closed\n.");
  const nobody: Caller = { uid: 65_534, gid: 65_534, groups: [] };
  const id = await s.find("/d");
  await t.throwsAsync(() => s.run((fs) => fs.lookup(nobody, id, "f")), { code: "EACCES" });
});

test("a .mount that comes, changes or goes changes the times of its directory, and the change times of all below", async (t) => {
  const s = await openScratch(t, { base: "test://base", layers });
  await s.makeDirectory("/conf/deep/made");
  const look = async (at: string) => {
    const id = await s.find(at);
    const { changed, modified } = await s.run((fs) => fs.getAttributes(id));
    const stamp = ({ seconds, nanoseconds }: typeof changed) => seconds * 1e9 + nanoseconds;
    return { changed: stamp(changed), modified: stamp(modified) };
  };
  const places = ["/conf", "/conf/deep", "/conf/deep/made"];
  for (const change of [
    () => s.write("/conf/.mount", "test://settings\n"),
    () => s.write("/conf/.mount", "test://settings\n."),
    () => s.set("/conf/.mount", { size: 0 }),
    () => s.remove("/conf/.mount"),
  ]) {
    const before = await Promise.all(places.map(look));
    const outside = await look("/closed");
    await change();
    const after = await Promise.all(places.map(look));
    for (const [index, { changed }] of after.entries()) t.true(changed > before[index].changed, places[index]);
    t.true(after[0].modified > before[0].modified);
    t.is(after[1].modified, before[1].modified);
    t.deepEqual(await look("/closed"), outside);
    await s.reopen();
    t.deepEqual(await Promise.all(places.map(look)), after);
  }
});
