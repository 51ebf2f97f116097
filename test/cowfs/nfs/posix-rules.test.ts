/** The conformance suite over the wire: a union, exported on loopback, asked in NFSv3. */
import { readFile } from "node:fs/promises";
import test from "ava";
import { declareFileSystemSuite } from "../posix-rules.ts";
import { nfsLimits } from "./posix-limits.ts";
import { Wire, type WireFileSystem } from "./wire-file-system.ts";

const wire = new Wire();
test.after.always(() => wire.terminate());

declareFileSystemSuite(test, "the union over NFSv3", async () => wire.open(), {
  close: async (fileSystem) => (fileSystem as WireFileSystem).close(),
  limits: nfsLimits,
});

test("the README of cowfs tells every limit", async (t) => {
  const readme = await readFile(new URL("../../../cowfs/README.md", import.meta.url), "utf8");
  for (const reason of new Set(Object.values(nfsLimits))) t.true(readme.includes(reason), reason);
});
