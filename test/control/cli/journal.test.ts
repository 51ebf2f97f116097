/** `xeno journal` over the journal of an export that has ended. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test from "ava";
import { makeXeno } from "./xeno.ts";

test("a journal is verified and kept as it is, and what is damaged in it is named", async (t) => {
  const xeno = await makeXeno(t);
  const url = await xeno.importFiles("small", { "etc/motd": "hello\n" });
  const journal = join(xeno.home, "changes");
  const serving = await xeno.start(["serve", url, "--listen", "127.0.0.1:0", "--journal", journal]);
  t.is((await xeno.fail(["journal", "verify", journal])).code, "in-use");
  await serving.end();
  t.like(await xeno.json("journal", "verify", journal), { snapshots: 0, damage: [] });
  t.like(await xeno.json("journal", "snapshot", journal, "kept"), { name: "kept" });
  t.like(await xeno.json("journal", "snapshots", journal), [{ name: "kept" }]);
  t.is((await xeno.fail(["journal", "snapshots", xeno.home])).code, "journal-unknown");
  const log = (await readdir(journal)).find((name) => name.startsWith("log-"))!;
  const bytes = await readFile(join(journal, log));
  bytes[90] ^= 1;
  await writeFile(join(journal, log), bytes);
  const { code, stdout } = await xeno.run(["journal", "verify", journal, "--json"]);
  t.is(code, 3);
  t.regex(JSON.parse(stdout).damage[0], /record 1 does not verify/);
  t.is((await xeno.fail(["journal", "verify", xeno.home])).code, "journal-unknown");
});
