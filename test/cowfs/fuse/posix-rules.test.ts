/** The conformance suite through a mount: a union, asked with real system calls by a process of its own. */
import fs from "node:fs";
import { mkdtemp, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { execa } from "execa";
import { type FuseMount, mountFileSystem } from "../../../cowfs/fuse/mount.ts";
import { openUnion, type UnionFileSystem } from "../../../cowfs/union/union.ts";
import { makeFastDirectory } from "../fast-directory.ts";
import { chapters } from "../posix-rules.ts";
import { directory, resolveFrom } from "../union/layers.ts";
import { fuseLimits } from "./posix-limits.ts";
import type { Outcome } from "./run-posix-rules.ts";

const program = new URL("./run-posix-rules.ts", import.meta.url).pathname;
const runMs = 240_000;
const journal = makeFastDirectory();
let union: UnionFileSystem | undefined;
let mount: FuseMount | undefined;
let mountPoint: string | undefined;
const outcomes = new Map<string, Outcome>();

test.before(async (t) => {
  const resolve = resolveFrom({ "test://empty": directory({}) });
  union = await openUnion({ journal, base: "test://empty", resolve, signal: AbortSignal.timeout(600_000) });
  mountPoint = await mkdtemp(join(tmpdir(), "xeno-fuse-"));
  mount = await mountFileSystem(union, mountPoint, {
    name: "union",
    allowDevices: true,
    allowSetuid: true,
    onError: (error) => t.log(`the mount says: ${error}`),
  });
  const { stdout } = await execa(process.execPath, [program, mountPoint], { timeout: runMs });
  for (const line of stdout.split("\n")) {
    const outcome = JSON.parse(line) as Outcome;
    outcomes.set(outcome.rule, outcome);
  }
});

test.after.always(async () => {
  await mount?.unmount();
  if (mountPoint !== undefined) await rmdir(mountPoint);
  await union?.close();
  fs.rmSync(journal, { recursive: true, force: true });
});

const rules = Object.entries(chapters).flatMap(([chapter, list]) =>
  list.map(([sentence]) => `${chapter}: ${sentence}`),
);

for (const rule of rules) {
  const isLimit = rule in fuseLimits;
  test(`the union through FUSE: ${isLimit ? "not kept: " : ""}${rule}`, (t) => {
    const { error } = outcomes.get(rule)!;
    if (isLimit) t.not(error, undefined, "this limit is gone: take it off its table");
    else t.is(error, undefined);
  });
}

test("every limit names a rule", (t) => {
  t.deepEqual(
    Object.keys(fuseLimits).filter((rule) => !rules.includes(rule)),
    [],
  );
});
