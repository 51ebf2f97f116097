import fs from "node:fs";
import test from "ava";
import type { FileSystem } from "../../../cowfs/file-system.ts";
import { openUnion, type UnionFileSystem } from "../../../cowfs/union/union.ts";
import { makeFastDirectory } from "../fast-directory.ts";
import { declareFileSystemSuite } from "../posix-rules.ts";
import { directory, resolveFrom } from "./layers.ts";

const home = makeFastDirectory();
test.after.always(() => fs.rmSync(home, { recursive: true, force: true }));

const signal = AbortSignal.timeout(600_000);
const resolve = resolveFrom({ "test://empty": directory({}) });
const close = (fileSystem: FileSystem) => (fileSystem as UnionFileSystem).close();

for (const [name, base] of [
  ["the union of a journal alone", undefined],
  ["the union over an empty layer", "test://empty"],
] as const) {
  const open = (journal: string) => openUnion({ journal, base, resolve, signal });
  const reopen = async (failed: FileSystem) => {
    const { directory: journal } = (failed as UnionFileSystem).core.journal;
    await close(failed);
    return await open(journal);
  };
  declareFileSystemSuite(test, name, () => open(fs.mkdtempSync(`${home}/j-`)), { reopen, close });
}
