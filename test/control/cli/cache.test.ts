/** `xeno cache` over the cache that commands themselves fill. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test from "ava";
import { makeXeno } from "./xeno.ts";

test("a cache is listed, verified and trimmed", async (t) => {
  const xeno = await makeXeno(t);
  t.deepEqual(await xeno.json("cache", "ls"), []);
  const url = await xeno.importFiles("small", { "etc/motd": "hello\n".repeat(5000) });
  const { tree } = await xeno.json("template", "resolve", url);
  const serving = await xeno.start(["serve", url, "--listen", "127.0.0.1:0"]);
  const [listed] = await xeno.json("cache", "ls");
  t.like(listed, { cache: "commands", tree });
  t.true(listed.bytes > 0);
  const [trimmed] = await xeno.json("cache", "trim", "--to", "0");
  t.like(trimmed, { cache: "commands", freedBytes: 0 });
  t.true(trimmed.pinnedBytes > 0, "what is served stays");
  t.like((await xeno.json("cache", "verify"))[0], { tree, isOpen: true, damagedChunks: 0 });
  await serving.end();
  const directory = join(xeno.home, "cache", "0", "trees", tree);
  for (const name of await readdir(directory)) {
    if (name !== "index") continue;
    const bytes = await readFile(join(directory, name));
    bytes[bytes.length - 1] ^= 1;
    await writeFile(join(directory, name), bytes);
  }
  const { code, stdout } = await xeno.run(["cache", "verify", "--json"]);
  t.is(code, 3);
  t.like(JSON.parse(stdout)[0], { tree, isIndexDamaged: true });
  t.like((await xeno.json("cache", "trim", "--to", "0"))[0], { keptBytes: 0, pinnedBytes: 0 });
  t.deepEqual(await xeno.json("cache", "ls"), []);
  await xeno.fail(["cache", "trim", "--to", "much"], { code: 2 });
  t.is((await xeno.fail(["cache", "ls", "--on", "nobody"])).code, "server-unknown");
});
