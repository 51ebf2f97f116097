/** What was promised survives every crash: a thousand of them, each of a real journal over a disk that loses what it may. */
import test, { type ExecutionContext } from "ava";
import { testSeed } from "../../random.ts";
import { runCrashes } from "./run.ts";

const cuts = 25;
const lives = 5;
const rounds = 3;

async function crash(t: ExecutionContext, soak: "crash" | "disk", first: number): Promise<void> {
  const counts: Record<string, number> = {};
  const add = (what: string, by = 1) => {
    counts[what] = (counts[what] ?? 0) + by;
  };
  for (let seed = first; seed < first + rounds; seed++)
    try {
      await runCrashes({ seed, lives, operations: 40, cuts, count: add, trouble: soak === "disk" });
    } catch (error) {
      throw new Error(`${error}; again: npm run soak -- ${soak} --seed ${seed}`, { cause: error });
    }
  t.is(counts.kills + counts["power cuts"], rounds * lives * cuts);
}

// One after the other: the recorder takes the place of the process's file system.
for (const [index, part] of ["first", "second", "third"].entries())
  test.serial(
    `whatever a crash leaves, what was promised is there, the rest is a prefix, and opening again shows the same: ${part} part`,
    (t) => crash(t, "crash", testSeed + index * rounds),
  );

test.serial(
  "the same holds where the disk refuses writes and syncs: full, broken, read-only, or taking little at a time",
  (t) => crash(t, "disk", testSeed),
);
