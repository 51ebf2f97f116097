/** What was promised survives every crash: thousands of them, each of a real journal over a disk that loses what it may. */
import test from "ava";
import { runCrashes } from "./run.ts";

const runs = { whole: 9 };

for (const [what, trouble, rounds] of [["whatever a crash leaves", false, runs.whole]] as const)
  test(`${what}: what was promised is there, the rest is a prefix, and opening again shows the same`, async (t) => {
    const counts: Record<string, number> = {};
    const count = (what: string, by = 1) => {
      counts[what] = (counts[what] ?? 0) + by;
    };
    const first = Math.floor(Math.random() * 2 ** 31);
    for (let seed = first; seed < first + rounds; seed++)
      try {
        await runCrashes({ seed, trouble, lives: 5, operations: 40, cuts: 25, count });
      } catch (error) {
        throw new Error(`again: npm run soak -- ${trouble ? "disk" : "crash"} --seed ${seed}`, { cause: error });
      }
    t.log(counts);
    t.true(counts.kills + counts["power cuts"] > 1000);
  });
