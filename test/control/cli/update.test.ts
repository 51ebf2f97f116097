/** `xeno template update`: the same source again, and `current` on what came of it. */

import test from "ava";
import { execa } from "execa";
import { openDirectoryStore } from "../../../xenostore/stores/directory-store.ts";
import { decodeTrace, encodeTrace, traceKey } from "../../../xenostore/traces/boot-trace.ts";
import { makeXeno } from "./xeno.ts";

test("an update imports from where the template came, moves current, keeps the version before, and carries its trace over", async (t) => {
  const xeno = await makeXeno(t);
  await xeno.newKey("templates");
  const source = await xeno.write("source", { a: "first\n", b: "stays\n".repeat(1000) });
  const tar = xeno.at("system.tar");
  const pack = () => execa("tar", ["--create", "--file", tar, "--directory", source, "."]);
  await pack();
  const before = await xeno.json("template", "import", "Test/1", "--tar", tar);
  const same = await xeno.json("template", "update", "Test/1");
  t.like(same, { url: before.url, tree: before.tree, changed: false });
  const store = await openDirectoryStore(`${xeno.home}/store`);
  await store.putIfAbsent(traceKey(before.tree), encodeTrace(new Map([[before.tree, [1, 0]]])));
  await xeno.write("source", { a: "second\n" });
  await pack();
  const after = await xeno.json("template", "update", "Test/1");
  t.true(after.changed);
  t.not(after.tree, before.tree);
  t.is((await xeno.json("template", "resolve", "template://Test/1/current")).tree, after.tree);
  t.is((await xeno.json("template", "resolve", before.url)).tree, before.tree, "who is pinned to it stays");
  const trace = decodeTrace(await store.get(traceKey(after.tree)));
  t.is(trace.get(after.tree)!.length, 1, "of two chunks one is still there");
  t.is((await xeno.fail(["template", "update", "Test/2"])).code, "recipe-missing");
});
