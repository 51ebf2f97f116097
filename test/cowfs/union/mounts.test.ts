/** `.mount` files wherever they stand: what they show, when they are read again, and what they say when they cannot. */
import test from "ava";
import { directory, file } from "./layers.ts";
import { openScratch } from "./scratch.ts";
import { root, walkTo } from "./snapshot.ts";

const one = directory({ one: file("1"), both: file("of one"), sub: directory({ a: file("one's") }) });
const two = directory({ two: file("2"), both: file("of two"), sub: directory({ a: file("two's"), b: file("b") }) });

test("the layers of a root's .mount come after it in their order, strongest first", async (t) => {
  const base = directory({ ".mount": file(".\nro test://one\nro test://two\n"), both: file("of the base") });
  const s = await openScratch(t, {
    base: "test://base",
    layers: { "test://base": base, "test://one": one, "test://two": two },
  });
  t.deepEqual(await s.names("/"), [".mount", "both", "one", "sub", "two"]);
  t.is(await s.read("/both"), "of the base");
  t.deepEqual(await s.names("/sub"), ["a", "b"]);
  t.is(await s.read("/sub/a"), "one's");
  t.is(await s.read("/sub/b"), "b");
  t.deepEqual(s.errors, []);
});

test("a .mount at depth adds to its own directory only", async (t) => {
  const base = directory({ srv: directory({ app: directory({ ".mount": file("test://one"), own: file("o") }) }) });
  const s = await openScratch(t, { base: "test://base", layers: { "test://base": base, "test://one": one } });
  t.deepEqual(await s.names("/"), ["srv"]);
  t.deepEqual(await s.names("/srv"), ["app"]);
  t.deepEqual(await s.names("/srv/app"), [".mount", "both", "one", "own", "sub"]);
  t.is(await s.find("/srv/app/sub/.."), await s.find("/srv/app"));
  t.is((await s.run((fs) => fs.getAttributes(fs.lookup(root, fs.lookup(root, fs.rootId, "srv"), "app")))).links, 3);
});

test("layers mount layers: those of an inner root follow it, those at depth are found on the way", async (t) => {
  const inner = directory({
    ".mount": file("test://two"),
    inner: file("i"),
    deep: directory({ ".mount": file("test://one") }),
  });
  const base = directory({ m: directory({ ".mount": file("test://inner\ntest://one") }) });
  const layers = { "test://base": base, "test://inner": inner, "test://one": one, "test://two": two };
  const s = await openScratch(t, { base: "test://base", layers });
  t.deepEqual(await s.names("/m"), [".mount", "both", "deep", "inner", "one", "sub", "two"]);
  t.is(await s.read("/m/both"), "of two");
  t.is(await s.read("/m/sub/a"), "two's");
  t.deepEqual(await s.names("/m/deep"), [".mount", "both", "one", "sub"]);
});

test("a .mount that is written, changed and removed at run time shows at once, and after opening again", async (t) => {
  const s = await openScratch(t, { layers: { "test://one": one, "test://two": two } });
  await s.makeDirectory("/m");
  await s.write("/m/own", "mine");
  await s.write("/m/.mount", "test://one\n");
  t.deepEqual(await s.names("/m"), [".mount", "both", "one", "own", "sub"]);
  await s.write("/m/one", "written over");
  await s.write("/m/.mount", "test://two\n");
  t.deepEqual(await s.names("/m"), [".mount", "both", "own", "sub", "two"]);
  await s.write("/m/.mount", "test://one\ntest://two\n");
  t.deepEqual(await s.names("/m"), [".mount", "both", "one", "own", "sub", "two"]);
  t.is(await s.read("/m/one"), "written over");
  await s.reopen();
  t.deepEqual(await s.names("/m"), [".mount", "both", "one", "own", "sub", "two"]);
  t.is(await s.read("/m/both"), "of one");
  await s.rename("/m/.mount", "/m/off");
  t.deepEqual(await s.names("/m"), ["off", "own"]);
  await s.rename("/m/off", "/m/.mount");
  t.is((await s.names("/m")).length, 6);
  await s.remove("/m/.mount");
  t.deepEqual(await s.names("/m"), ["own"]);
  t.deepEqual(s.errors, []);
});

test("a directory that was made before a layer was mounted merges with the layer's of its name, also when it is moved then", async (t) => {
  const deep = directory({
    sub: directory({ a: file("a"), d: directory({ b: file("b") }) }),
    gone: directory({ g: file("g") }),
  });
  const s = await openScratch(t, { layers: { "test://deep": deep, "test://two": two } });
  await s.makeDirectory("/m");
  await s.makeDirectory("/m/sub");
  await s.makeDirectory("/m/sub/d");
  await s.write("/m/sub/d/mine", "mine");
  const id = await s.find("/m/sub");
  await s.write("/m/.mount", "test://deep\n");
  const links = async (at: string) => (await s.run((fs) => fs.getAttributes(walkTo(fs, root, at)))).links;
  for (let opening = 0; opening < 2; opening++) {
    t.deepEqual(await s.names("/m/sub"), ["a", "d"]);
    t.deepEqual(await s.names("/m/sub/d"), ["b", "mine"]);
    t.is(await s.find("/m/sub"), id);
    t.deepEqual([await links("/m"), await links("/m/sub"), await links("/m/sub/d")], [4, 3, 2]);
    await t.throwsAsync(() => s.removeDirectory("/m/sub/d"), { code: "ENOTEMPTY" });
    await s.reopen();
  }
  await s.rename("/m/sub", "/moved");
  await s.removeDirectory("/m/gone").catch(() => {});
  for (let opening = 0; opening < 2; opening++) {
    t.deepEqual(await s.names("/m"), [".mount", "gone"]);
    t.deepEqual(await s.names("/moved"), ["a", "d"]);
    t.deepEqual(await s.names("/moved/d"), ["b", "mine"]);
    t.deepEqual([await links("/m"), await links("/moved"), await links("/")], [3, 3, 4]);
    await s.fs.core.journal.checkpoint();
    await s.reopen();
  }
  // What was there before and was removed does not come back under a new directory of its name.
  await s.remove("/m/gone/g");
  await s.removeDirectory("/m/gone");
  await s.makeDirectory("/m/gone");
  await s.makeDirectory("/m/sub");
  t.deepEqual([await s.names("/m/gone"), await s.names("/m/sub")], [[], []]);
  await s.rename("/m/gone", "/m/other");
  await s.rename("/m/other", "/m/gone");
  t.deepEqual(await s.names("/m/gone"), []);
  await s.write("/m/.mount", "test://two\n");
  t.deepEqual([await s.names("/m/gone"), await s.names("/m/sub")], [[], []]);
  t.deepEqual(await s.names("/moved/d"), ["b", "mine"]);
});

test("what the count of changes says covers a mount that came or went", async (t) => {
  const s = await openScratch(t, { layers: { "test://one": one } });
  await s.write("/.mount", "test://one");
  await s.names("/");
  const before = s.fs.changeCount;
  await s.names("/");
  t.is(s.fs.changeCount, before);
  await s.remove("/.mount");
  t.true((s.fs.changeCount ?? 0) > (before ?? 0));
});

test("a .mount that the overlay brings is hidden by removing it", async (t) => {
  const base = directory({ ".mount": file("test://one"), a: file("a") });
  const s = await openScratch(t, { base: "test://base", layers: { "test://base": base, "test://one": one } });
  t.is((await s.names("/")).length, 5);
  await s.remove("/.mount");
  t.deepEqual(await s.names("/"), ["a"]);
  await s.reopen();
  t.deepEqual(await s.names("/"), ["a"]);
});

test("a malformed .mount is EIO for its directory, names path and line, and can be read, mended and removed", async (t) => {
  const s = await openScratch(t, {
    base: "test://base",
    layers: { "test://base": directory({ srv: directory({ a: file("a") }) }), "test://one": one },
  });
  await s.makeDirectory("/srv/app");
  await s.write("/srv/app/own", "o");
  await s.write("/srv/app/.mount", "test://one\nwhat is this\n");
  for (const refused of [
    () => s.names("/srv/app"),
    () => s.read("/srv/app/own"),
    () => s.write("/srv/app/new", ""),
    () => s.rename("/srv/a", "/srv/app/a"),
  ])
    await t.throwsAsync(refused, { code: "EIO", message: "/srv/app/.mount:2: 'what' is neither ro nor rw" });
  t.is(s.errors[0].message, "/srv/app/.mount:2: 'what' is neither ro nor rw");
  t.deepEqual(await s.names("/srv"), ["a", "app"]);
  t.is(await s.read("/srv/app/.mount"), "test://one\nwhat is this\n");
  await s.reopen();
  await t.throwsAsync(() => s.names("/srv/app"), { code: "EIO" });
  await s.write("/srv/app/.mount", "test://one\n");
  t.deepEqual(await s.names("/srv/app"), [".mount", "both", "one", "own", "sub"]);
  await s.write("/srv/app/.mount", "?");
  await t.throwsAsync(() => s.names("/srv/app"), { code: "EIO" });
  await s.remove("/srv/app/.mount");
  t.deepEqual(await s.names("/srv/app"), ["own"]);
});

test("the path in a message is where the directory is now, not where it was made", async (t) => {
  const base = directory({ d: directory({ e: directory({ ".mount": file("?") }) }) });
  const s = await openScratch(t, { base: "test://base", layers: { "test://base": base } });
  await s.makeDirectory("/new");
  await s.rename("/d", "/new/moved");
  await t.throwsAsync(() => s.names("/new/moved/e"), {
    code: "EIO",
    message: "/new/moved/e/.mount:1: '?' is not a URL",
  });
});

test("a layer that cannot be had is EIO with file, line and reason; the line of a layer's own .mount is named in it", async (t) => {
  const outer = directory({ ".mount": file("\n\nnfs://nowhere/x") });
  const s = await openScratch(t, { layers: { "test://outer": outer } });
  await s.write("/.mount", "# first\nwhat://ever\n");
  await t.throwsAsync(() => s.names("/"), {
    code: "EIO",
    message: "/.mount:2: 'what://ever' cannot be mounted: no layer what://ever",
  });
  await s.write("/.mount", "test://outer");
  await t.throwsAsync(() => s.names("/"), {
    code: "EIO",
    message: "test://outer/.mount:3: 'nfs://nowhere/x' cannot be mounted: no layer nfs://nowhere/x",
  });
  t.is(s.errors.at(-1)?.code, "mount-refused");
});

test("a store that is away is no answer: nothing is remembered, and the next try asks again", async (t) => {
  const layers: Record<string, ReturnType<typeof directory>> = {};
  const s = await openScratch(t, { layers });
  await s.write("/.mount", "test://away");
  await t.throwsAsync(() => s.names("/"), { code: "store-unavailable" });
  layers["test://away"] = one;
  t.deepEqual(await s.names("/"), [".mount", "both", "one", "sub"]);
});

for (const [what, layers, error] of [
  [
    "mounts itself",
    { "test://a": directory({ ".mount": file("test://a") }) },
    "test://a/.mount:1: 'test://a' would hold itself: test://a > test://a",
  ],
  [
    "mounts itself by way of another",
    { "test://a": directory({ ".mount": file("test://b") }), "test://b": directory({ ".mount": file("#\ntest://a") }) },
    "test://b/.mount:2: 'test://a' would hold itself: test://a > test://b > test://a",
  ],
] as const)
  test(`a layer that ${what} is a cycle`, async (t) => {
    const s = await openScratch(t, { layers });
    await s.write("/.mount", "test://a");
    await t.throwsAsync(() => s.names("/"), { code: "EIO", message: error });
    t.is(s.errors.at(-1)?.code, "mount-cycle");
  });

test("a layer that mounts itself at depth is a cycle there, and all above can be used", async (t) => {
  const a = directory({ x: directory({ ".mount": file("test://b") }), f: file("f") });
  const b = directory({ y: directory({ ".mount": file("test://a") }) });
  const s = await openScratch(t, { base: "test://a", layers: { "test://a": a, "test://b": b } });
  t.deepEqual(await s.names("/x"), [".mount", "y"]);
  await t.throwsAsync(() => s.names("/x/y"), {
    code: "EIO",
    message: "/x/y/.mount:1: 'test://a' would hold itself: test://a > test://b > test://a",
  });
  t.is(await s.read("/f"), "f");
});

test("the same layer may be mounted many times where a client says so, within bounds", async (t) => {
  const a = directory({ d: directory({}) });
  const s = await openScratch(t, { base: "test://a", layers: { "test://a": a } });
  let at = "";
  for (let depth = 0; depth < 17; depth++) {
    at += "/d";
    await s.write(`${at}/.mount`, "test://a");
  }
  await t.throwsAsync(() => s.names(at), {
    code: "EIO",
    message: new RegExp(`^${at}/.mount: there are 16 mounted layers around it`),
  });
  t.deepEqual(await s.names(at.slice(0, -2)), [".mount", "d"]);
  t.is(s.errors.at(-1)?.code, "mount-too-deep");
});

test("too many layers are refused, by a line of one file or by all together", async (t) => {
  const many = (name: string) => Array.from({ length: 32 }, (_, index) => `test://${name}${index}`);
  const layers = Object.fromEntries([...many("a"), ...many("b")].map((url) => [url, directory({})]));
  layers["test://a0"] = directory({ ".mount": file(many("b").join("\n")) });
  layers["test://b31"] = directory({ ".mount": file("test://a5") });
  const s = await openScratch(t, { layers });
  await s.write("/.mount", `${many("a").join("\n")}\ntest://one-more`);
  await t.throwsAsync(() => s.names("/"), { code: "EIO", message: "/.mount:33: more than 32 layers" });
  await s.write("/.mount", many("a").join("\n"));
  await t.throwsAsync(() => s.names("/"), { code: "EIO", message: "/.mount:32: more than 64 layers in one directory" });
});

test("a handle into a layer that has not been opened yet brings the layer and works", async (t) => {
  const base = directory({ m: directory({ ".mount": file("test://one") }) });
  const s = await openScratch(t, { base: "test://base", layers: { "test://base": base, "test://one": one } });
  const ids = [await s.find("/m/one"), await s.find("/m/sub"), await s.find("/m/sub/a")];
  for (const use of [
    () => s.run((fs) => fs.getAttributes(ids[0])),
    () => s.run((fs) => fs.read(root, ids[2], 0, 5, Buffer.alloc(5), 0)),
    () => s.run((fs) => fs.list(root, ids[1], 0, 10)),
    () => s.run((fs) => fs.lookup(root, ids[1], "..")),
    () => s.change((fs) => fs.setAttributes(root, ids[2], { mode: 0o600 })),
    () => s.change((fs) => fs.createFile(root, ids[1], `new ${Math.random()}`, {}, { kind: "guarded" })),
  ]) {
    await s.reopen();
    await t.notThrowsAsync(use);
  }
  t.deepEqual([await s.find("/m/one"), await s.find("/m/sub"), await s.find("/m/sub/a")], ids);
});

test("a handle into a layer that is gone from the store is EIO, and a layer that became another is refused", async (t) => {
  const layers: Record<string, ReturnType<typeof directory>> = { "test://one": one };
  const s = await openScratch(t, { layers });
  await s.write("/.mount", "test://one");
  const id = await s.find("/one");
  layers["test://one"] = two;
  await s.reopen();
  await t.throwsAsync(() => s.run((fs) => fs.getAttributes(id)), { code: "EIO", message: /is now tree/ });
  await t.throwsAsync(() => s.names("/"), {
    code: "EIO",
    message: /^\/\.mount:1: 'test:\/\/one' cannot be mounted: .*is now tree/,
  });
});

test("a directory that was moved out of a layer stays whole when the layer is no longer mounted", async (t) => {
  const s = await openScratch(t, { layers: { "test://one": one, "test://two": two } });
  await s.write("/.mount", "test://one\ntest://two");
  await s.rename("/sub", "/kept");
  t.deepEqual(await s.names("/kept"), ["a", "b"]);
  const id = await s.find("/kept");
  await s.remove("/.mount");
  t.deepEqual(await s.names("/"), ["kept"]);
  t.deepEqual(await s.names("/kept"), ["a"]);
  t.is(await s.find("/kept"), id);
  t.is(await s.read("/kept/a"), "one's");
  await s.write("/kept/c", "c");
  await s.remove("/kept/a");
  await s.reopen();
  t.deepEqual(await s.names("/kept"), ["c"]);
});

test("a .mount that is not a file mounts nothing", async (t) => {
  const s = await openScratch(t, { layers: {} });
  await s.makeDirectory("/.mount");
  t.deepEqual(await s.names("/"), [".mount"]);
  await s.removeDirectory("/.mount");
  await s.change((fs) => fs.createSymlink(root, fs.rootId, ".mount", "test://x", {}));
  t.deepEqual(await s.names("/"), [".mount"]);
});
