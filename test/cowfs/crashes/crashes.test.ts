/** What was promised survives every crash: thousands of them, each of a real journal over a disk that loses what it may. */

import test from "ava";
import { runCrashes } from "./run.ts";

test("whatever a crash leaves: what was promised is there, the rest is a prefix, and opening again shows the same", async (t) => {
  const counts: Record<string, number> = {};
  const count = (what: string, by = 1) => {
    counts[what] = (counts[what] ?? 0) + by;
  };
  const first = Math.floor(Math.random() * 2 ** 31);
  for (let seed = first; seed < first + 10; seed++)
    try {
      await runCrashes({ seed, lives: 4, operations: 40, cuts: 30, count });
    } catch (error) {
      throw new Error(`npm run soak -- crash --seed ${seed}`, { cause: error });
    }
  t.log(counts);
  t.pass();
});
