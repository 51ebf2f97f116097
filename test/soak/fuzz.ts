/** `npm run soak -- fuzz`: hostile messages, journals and trees. */
import { fuzzFiles } from "../cowfs/fuzzed-files.ts";
import { fuzzServer } from "../cowfs/nfs/fuzzing.ts";
import { runRounds, type Soak } from "./soak.ts";

export const fuzz: Soak = {
  about: "mutated messages to an NFS server, and mutated journals and trees; prefers what is answered in a new way",
  minutes: 30,
  run: (run) =>
    runRounds(run, async (seed, count) => {
      await fuzzFiles(seed, 500, count);
      await fuzzServer(seed, 50_000, count);
    }),
};
