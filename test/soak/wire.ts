/** `npm run soak -- wire`: an NFS server that is killed under load, with everything that it has answered checked. */
import { killServer } from "../cowfs/nfs/killed/kill-server.ts";
import { runRounds, type Soak } from "./soak.ts";

export const wire: Soak = {
  about: "an NFS server killed under load from clients that send again, and check everything that was answered",
  minutes: 15,
  run: (run) => runRounds(run, (seed, count) => killServer({ seed, kills: 12, clients: 6, requests: 600, count })),
};
