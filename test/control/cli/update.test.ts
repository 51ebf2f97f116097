/** `xeno template update`: the same source again, and `current` on what came of it. */

import test from "ava";
import { execa } from "execa";
import { openDirectoryStore } from "../../../xenostore/stores/directory-store.ts";
import { decodeTrace, encodeTrace, traceKey } from "../../../xenostore/traces/boot-trace.ts";
import { makeBytes } from "../../xenostore/publish/sample.ts";
import { makeXeno } from "./xeno.ts";

/** Far apart in the packs: between two of them lie some that no boot reads. */
const read = [4, 10, 16, 22, 28, 34];

test("an update imports from where the template came, moves current, keeps the version before, and lays out what its boots read", async (t) => {
  const xeno = await makeXeno(t);
  await xeno.newKey("templates");
  const source = await xeno.write("source", { a: "first\n", b: makeBytes(4_000_000, "b") });
  const tar = xeno.at("system.tar");
  const pack = () => execa("tar", ["--create", "--file", tar, "--directory", source, "."]);
  await pack();
  const before = await xeno.json("template", "import", "Test/1", "--tar", tar);
  const same = await xeno.json("template", "update", "Test/1");
  t.like(same, { url: before.url, tree: before.tree, changed: false });
  t.is(same.bootRequests, undefined);
  const store = await openDirectoryStore(`${xeno.home}/store`);
  const leftByBoot = new Map([[before.tree, [0, ...read]]]);
  await store.putIfAbsent(traceKey(before.tree), encodeTrace(leftByBoot));
  await xeno.write("source", { a: "second\n" });
  await pack();
  const after = await xeno.json("template", "update", "Test/1");
  t.true(after.changed);
  t.not(after.tree, before.tree);
  t.like(after, { bootRequestsBefore: read.length, bootRequests: 1 });
  const now = await xeno.json("template", "resolve", "template://Test/1/current");
  t.is(now.tree, after.tree);
  t.is((await xeno.json("template", "resolve", before.url)).tree, before.tree, "who is pinned to it stays");
  const trace = decodeTrace(await store.get(traceKey(after.tree)));
  t.is(trace.get(after.tree)!.length, read.length, "all but the one that changed");
  const again = await xeno.json("template", "update", "Test/1");
  t.like(again, { tree: after.tree, changed: false, sentBytes: 0 });
  t.is(again.bootRequests, undefined);
  t.deepEqual(await xeno.json("template", "resolve", "template://Test/1/current"), now, "laid out as it was");
  t.is((await xeno.fail(["template", "update", "Test/2"])).code, "recipe-missing");
});
