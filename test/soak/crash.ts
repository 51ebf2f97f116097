/** `npm run soak -- crash`: journals that are cut, killed and opened again, for as long as it is told to. */
import { runCrashes } from "../cowfs/crashes/run.ts";
import { runRounds, type Soak } from "./soak.ts";

export const crash: Soak = {
  about: "crashes of the process and the host at any write, sync or rename of a journal, against the model",
  minutes: 60,
  run: (run) => runRounds(run, (seed, count) => runCrashes({ seed, lives: 5, operations: 60, cuts: 25, count })),
};
