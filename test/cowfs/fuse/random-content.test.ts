/** Random reads, writes, truncations and mappings of files through the kernel: fsx.py. */

import { fileURLToPath } from "node:url";
import test from "ava";
import { testSeed } from "../../random.ts";
import { directory, file } from "../union/layers.ts";
import { openScratch } from "../union/scratch.ts";
import { mountForTest } from "./mounted.ts";

const fsx = fileURLToPath(new URL("fsx.py", import.meta.url));
const operations = 600;
const template = directory({ old: file("of the template ".repeat(9000)) });

for (const validSeconds of [undefined, 0])
  test(`a file reads as it was written, by calls and by mappings, ${validSeconds === 0 ? "where the kernel keeps nothing" : "where the kernel keeps what it knows"}`, async (t) => {
    const s = await openScratch(t, { base: "test://base", layers: { "test://base": template } });
    const { shell } = await mountForTest(t, s.fs, validSeconds === undefined ? {} : { validSeconds });
    const run = (name: string, each: number) => shell(`python3 ${fsx} ${name} ${each} ${operations}`);
    t.deepEqual(await Promise.all([run("new", testSeed), run("old", testSeed + 1)]), ["", ""]);
  });
