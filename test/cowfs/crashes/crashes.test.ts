/** What was promised survives every crash: a thousand of them, each of a real journal over a disk that loses what it may. */

import test, { type ExecutionContext } from "ava";
import { testSeed } from "../../random.ts";
import { runCrashes } from "./run.ts";

const cuts = 25;
const lives = 5;
const rounds = 3;

async function crash(t: ExecutionContext, count: number): Promise<void> {
  const counts: Record<string, number> = {};
  const add = (what: string, by = 1) => {
    counts[what] = (counts[what] ?? 0) + by;
  };
  for (let seed = testSeed; seed < testSeed + count; seed++)
    try {
      await runCrashes({ seed, lives, operations: 40, cuts, count: add });
    } catch (error) {
      throw new Error(`${error}; again: npm run soak -- crash --seed ${seed}`, { cause: error });
    }
  t.is(counts.kills + counts["power cuts"], count * lives * cuts);
}

// One after the other: the recorder takes the place of the process's file system.
for (const part of ["first", "second", "third"])
  test.serial(
    `whatever a crash leaves, what was promised is there, the rest is a prefix, and opening again shows the same: ${part} part`,
    (t) => crash(t, rounds),
  );
