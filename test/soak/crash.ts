/** Journals that are cut, killed and opened again, and whose disk refuses what they ask. */
import { runCrashes } from "../cowfs/crashes/run.ts";
import { runRounds, type Soak } from "./soak.ts";

const size = { lives: 5, operations: 40, cuts: 25 };

export const crash: Soak = {
  about: "crashes of the process and the host at any write, sync or rename of a journal, against the model",
  minutes: 60,
  run: (run) => runRounds(run, (seed, count) => runCrashes({ ...size, seed, count })),
};

export const disk: Soak = {
  about: "the same where the disk refuses writes and syncs: full, broken, read-only, or taking little at a time",
  minutes: 30,
  run: (run) => runRounds(run, (seed, count) => runCrashes({ ...size, seed, count, trouble: true })),
};
