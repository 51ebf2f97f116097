/** A server that is killed under load. Its long form is `npm run soak -- wire`. */

import test from "ava";
import { testSeed } from "../../random.ts";
import { killServer } from "./killed/kill-server.ts";

test("a server that is killed under load loses nothing that it has answered, and does nothing twice that is sent again", async (t) => {
  const counts: Record<string, number> = {};
  const count = (what: string, by = 1) => {
    counts[what] = (counts[what] ?? 0) + by;
  };
  try {
    await killServer({ seed: testSeed, kills: 3, clients: 6, requests: 250, count });
  } catch (error) {
    throw new Error(`${error}; again: npm run soak -- wire --seed ${testSeed}`, { cause: error });
  }
  t.is(counts.kills, 3);
});
