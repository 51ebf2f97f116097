import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import test from "ava";
import fc from "fast-check";
import { openUnion } from "../../../cowfs/union/union.ts";
import { makeFastDirectory } from "../fast-directory.ts";
import { operation, perform } from "./operations.ts";
import { snapshot } from "./snapshot.ts";
import { createFilledModel, resolve, stacks, warmUp } from "./stacks.ts";

const signal = AbortSignal.timeout(600_000);

for (const [name, { base, layers }] of Object.entries(stacks))
  test(`over ${name}, random operations do what the model does, through a crash and when it is opened again`, async (t) => {
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 60 }), fc.nat(59), async (operations, crash) => {
        const home = makeFastDirectory();
        let journal = path.join(home, "journal");
        try {
          const model = createFilledModel(layers);
          let union = await openUnion({ journal, base, resolve, signal });
          if (layers.length > 0) await warmUp(union);
          assert.deepEqual(snapshot(union), snapshot(model));
          for (const [index, step] of operations.entries()) {
            if (index === crash) {
              union.flush();
              const left = path.join(home, "left");
              fs.cpSync(journal, left, { recursive: true });
              await union.close();
              journal = left;
              union = await openUnion({ journal, base, resolve, signal });
              if (layers.length > 0) await warmUp(union);
              assert.deepEqual(snapshot(union), snapshot(model), "after a crash");
            }
            const [expected, found] = [perform(model, step), perform(union, step)];
            assert.equal(found, expected, `${JSON.stringify(step)}: ${found}, the model says ${expected}`);
          }
          const after = snapshot(model);
          assert.deepEqual(snapshot(union), after);
          await union.close();
          union = await openUnion({ journal, base, resolve, signal });
          if (layers.length > 0) await warmUp(union);
          assert.deepEqual(snapshot(union), after);
          await union.close();
        } finally {
          fs.rmSync(home, { recursive: true, force: true });
        }
      }),
      { numRuns: 60, includeErrorInReport: true },
    );
    t.pass();
  });
