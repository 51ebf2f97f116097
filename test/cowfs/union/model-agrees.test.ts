import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import test from "ava";
import { runWithFaults } from "../../../cowfs/fault.ts";
import { openUnion, type UnionFileSystem } from "../../../cowfs/union/union.ts";
import fc from "../../property.ts";
import { makeFastDirectory } from "../fast-directory.ts";
import { Comparison, modelOf } from "./fill-model.ts";
import { operation, perform } from "./operations.ts";
import { root } from "./snapshot.ts";
import { resolve, stacks } from "./stacks.ts";

const signal = AbortSignal.timeout(600_000);

/** What happens between two operations: nothing mostly. */
const event = fc.oneof(
  { weight: 12, arbitrary: fc.constant("nothing" as const) },
  { weight: 1, arbitrary: fc.constantFrom("crash" as const, "checkpoint" as const, "restart" as const) },
);

for (const [name, { base, layers }] of Object.entries(stacks))
  test(`over ${name}, random operations do what the model does, at every step, through crashes, checkpoints and restarts`, async (t) => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(operation, event), { maxLength: 60 }), async (steps) => {
        const home = makeFastDirectory();
        let journal = path.join(home, "journal-0");
        const model = modelOf(layers);
        const comparison = new Comparison(model);
        let union: UnionFileSystem | undefined;
        const open = async () => {
          union = await openUnion({ journal, base, resolve, signal });
          // Brings the layers that `.mount` names, as a dispatcher does.
          const { rootId } = union;
          await runWithFaults(() => union!.list(root, rootId, 0, 1), signal);
        };
        try {
          await open();
          comparison.check(union!, "at the start");
          for (const [index, [step, event]] of steps.entries()) {
            const expected = perform(model, step);
            const found = perform(union!, step);
            const what = `step ${index}, ${JSON.stringify(step)}`;
            assert.equal(found, expected, `${what}: ${found}, the model says ${expected}`);
            comparison.check(union!, what);
            if (event === "nothing") continue;
            if (event === "checkpoint") await union!.core.journal.checkpoint();
            if (event === "crash") {
              union!.flush();
              const left = path.join(home, `journal-${index + 1}`);
              fs.cpSync(journal, left, { recursive: true });
              await union!.close();
              journal = left;
            } else await union!.close();
            await open();
            comparison.check(union!, `${what}, after ${event}`);
          }
          await union!.core.journal.checkpoint();
          await union!.close();
          await open();
          comparison.check(union!, "after all, a checkpoint and a restart");
        } finally {
          await union?.close().catch(() => {});
          fs.rmSync(home, { recursive: true, force: true });
        }
      }),
      { numRuns: 25, includeErrorInReport: true },
    );
    t.pass();
  });
