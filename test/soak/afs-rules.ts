/**
 * Program, in the cell of afs-cell.sh: the rules of layers over a directory of a real AFS, a line for each. What AFS cannot keep is
 * listed with the reason, as for every kind of layer.
 */
import { deepEqual, rejects } from "node:assert/strict";
import { mkdtempSync, realpathSync } from "node:fs";
import type { ExecutionContext } from "ava";
import { layerRules } from "../cowfs/layers/conformance.ts";
import { layHostFiles, listHost } from "../cowfs/layers/lay-files.ts";
import { layLive } from "../cowfs/layers/lay-live.ts";

const limits: Readonly<Record<string, string>> = {
  "mode, owner, size and times are shown, to the nanosecond":
    "this client cannot change owners and times, so none can be laid",
  "a directory has its own mode and owner": "this client cannot change owners, so none can be laid",
  "links have their targets, whatever these are, and are not followed": "this client puts /afs/ before a target",
  "device nodes, fifos and sockets are shown as what they are": "AFS has none",
};

const cell = process.argv[2];
let failed = 0;
for (const [sentence, spec, run, weaker = {}] of layerRules) {
  const cleaning: (() => unknown)[] = [];
  const t = { teardown: (clean: () => unknown) => void cleaning.push(clean) } as unknown as ExecutionContext;
  try {
    const keep = async () => {
      const directory = mkdtempSync(`${cell}/layer-`);
      layHostFiles(directory, spec);
      const open = { kind: "directory", path: realpathSync(directory), isWritable: false } as const;
      const { scratch } = await layLive(t, { weaker, open });
      const before = listHost(directory);
      await run(scratch);
      deepEqual(listHost(directory), before, "the layer stays as it is");
    };
    if (sentence in limits) await rejects(keep(), () => true, "this limit is gone: take it off the table");
    else await keep();
    console.log(`afs: ${sentence in limits ? "not kept: " : ""}${sentence}`);
  } catch (error) {
    failed++;
    console.log(`afs: FAILED: ${sentence}: ${(error as Error).message}`);
  }
  for (const clean of cleaning.reverse()) await clean();
}
process.exitCode = failed === 0 ? 0 : 1;
