import test from "ava";
import { testSeed } from "../random.ts";
import { fuzzFiles } from "./fuzzed-files.ts";

test("300 spoilt journals and 300 spoilt trees open or are refused with a code, and nothing else happens", async (t) => {
  const counts: Record<string, number> = {};
  try {
    await fuzzFiles(testSeed, 300, (what, by = 1) => {
      counts[what] = (counts[what] ?? 0) + by;
    });
  } catch (error) {
    throw new Error(`again: npm run soak -- fuzz --seed ${testSeed}`, { cause: error });
  }
  t.log(counts);
  t.true(counts["journals that opened"] > 10 && counts["journals refused with journal-damaged"] > 10);
});
