/** The table of cares speaks of the sources as they are. That each care has a test: `npm run soak -- cares`. */
import { readFile } from "node:fs/promises";
import test from "ava";
import { cares } from "./cares.ts";

const home = new URL("../../../", import.meta.url);

test("each care stands once where the table says it does, and the README tells of it and of its test", async (t) => {
  const readme = await readFile(new URL("cowfs/nfs/README.md", home), "utf8");
  for (const { pitfall, file, care, test: named } of cares) {
    const source = await readFile(new URL(file, home), "utf8");
    t.is(source.split(care).length, 2, `${pitfall}: ${file}`);
    t.true(readme.includes(`| ${pitfall} |`), pitfall);
    const title = named[1];
    t.true(readme.includes(title), title);
    await t.notThrowsAsync(readFile(new URL(named[0], home)));
  }
});
