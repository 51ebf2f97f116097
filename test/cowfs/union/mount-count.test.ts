/** `mountCount`: a kernel is told to forget names when their meaning has changed, and not when a `.mount` is merely found. */
import test from "ava";
import { directory, file } from "./layers.ts";
import { openScratch } from "./scratch.ts";

const layers = {
  "test://layer": directory({ bin: directory({ tool: file("tool") }) }),
  "test://over": directory({ bin: directory({ tool: file("over") }) }),
  "test://base": directory({ d: directory({ ".mount": file("test://layer\n"), e: directory({}) }), x: directory({}) }),
};

test("finding a .mount, opening what it names and changing what lies there counts nothing", async (t) => {
  const s = await openScratch(t, { base: "test://base", layers });
  t.is(s.fs.mountCount, 0);
  t.deepEqual(await s.names("/d"), [".mount", "bin", "e"]);
  t.is(await s.read("/d/bin/tool"), "tool");
  await s.write("/d/bin/other", "other");
  await s.set("/d/.mount", { mode: 0o600 });
  await s.makeDirectory("/d/e/f");
  await s.rename("/d/e", "/x/e");
  await s.rename("/d/bin/other", "/x/other");
  t.is(s.fs.mountCount, 0);
});

test("a .mount that comes, changes, moves or goes counts, and so does a directory that is moved where layers lie over it", async (t) => {
  const s = await openScratch(t, { base: "test://base", layers });
  let last = s.fs.mountCount;
  const counts = async (change: Promise<unknown>, what: string) => {
    await change;
    t.true(s.fs.mountCount > last, what);
    last = s.fs.mountCount;
  };
  await s.makeDirectory("/y");
  t.is(s.fs.mountCount, last);
  await counts(s.write("/y/.mount", "test://over\n.\n"), "it comes");
  t.is(await s.read("/y/bin/tool"), "over");
  await counts(s.write("/y/.mount", "test://layer\n"), "it changes");
  await s.reopen();
  last = s.fs.mountCount;
  t.is(await s.read("/y/bin/tool"), "tool");
  t.is(s.fs.mountCount, last, "it is found again");
  await counts(s.rename("/y/.mount", "/x/.mount"), "it is moved");
  await counts(s.rename("/x", "/y/x"), "its directory is moved");
  await counts(s.remove("/y/x/.mount"), "it goes");
});
