import { pino } from "pino";
import { XenoError } from "../../cowfs/errors.ts";
import { shutdownServer } from "../../xenod/daemon/run-xeno-server.ts";
import { readStartTime, waitUntilGone } from "../../xenod/processes.ts";
import type { Home } from "./home.ts";
import { connectServer, isLocal, type LocalServer, type RegisteredServer } from "./registered-servers.ts";
import { joinNetworkOf, leaveOurNetwork, portsOf } from "./run-server.ts";

const endDeadlineMs = 30_000;

export interface ServerEnd {
  /** What guests get to power off. */
  readonly graceMs: number;
  /** Deletes the domains with their journals. */
  readonly remove: boolean;
  /** What runs is still meant to run, by its restart policy, when the XenoServer runs again. */
  readonly halt: boolean;
}

/** Ends a XenoServer with all that runs for it, also where its Xenod was killed and the rest goes on. */
export async function stopServer(home: Home, server: RegisteredServer, end: ServerEnd): Promise<void> {
  const client = await connectServer(home, server, 0);
  if (!isLocal(server)) {
    await client.shutdown(end);
    return await client.close();
  }
  const status = await client.status().catch(() => undefined);
  if (status === undefined) await endRemains(home, server, end);
  else {
    const startTime = await readStartTime(status.process);
    await client.shutdown(end);
    // It leaves the network as its last act.
    if (startTime !== undefined && !(await waitUntilGone(status.process, startTime, endDeadlineMs)))
      throw new XenoError("server-undead", `XenoServer ${server.name} (process ${status.process}) does not end`, {
        hint: "Its log may say why.",
      });
  }
  await client.close();
}

async function endRemains(home: Home, server: LocalServer, end: ServerEnd) {
  const { name, prefix, stateDirectory } = server;
  const { namespace, addressPool } = await joinNetworkOf(server);
  const where = { name, stateDirectory, store: home.store, trustDirectory: home.keys };
  const log = pino({ level: "error" }, pino.destination({ dest: 2, sync: true }));
  await shutdownServer(
    { ...where, namespace, addressPool, linkPrefix: prefix, ports: portsOf(server.guests), log },
    end,
  );
  await leaveOurNetwork(home, prefix, name);
}
