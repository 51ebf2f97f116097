import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import type { ExecutionContext } from "ava";

/** A new directory that is gone when the test ends. */
export async function makeDirectory(t: Pick<ExecutionContext, "teardown">): Promise<string> {
  const directory = await fs.mkdtemp(path.join(os.tmpdir(), "xenostore-"));
  t.teardown(() => fs.rm(directory, { recursive: true, force: true }));
  return directory;
}
