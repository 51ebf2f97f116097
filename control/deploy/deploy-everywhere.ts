/** One deployment on many XenoServers at once. One that fails does not hold up the others; each tells how it went. */
import { randomUUID } from "node:crypto";
import { XenoError } from "../../cowfs/errors.ts";
import type { XenodClient } from "../../xenod/api/client.ts";
import type { Deployment } from "../../xenod/daemon/deployment.ts";
import type { DomainRecord } from "../../xenod/daemon/domain-record.ts";
import type { Task } from "../../xenod/daemon/task-list.ts";

export interface ServerOutcome {
  readonly server: string;
  readonly domain?: DomainRecord;
  readonly error?: XenoError;
}

export interface NamedServer {
  readonly name: string;
  readonly client: XenodClient;
}

/** Settles when every server has answered for good. `onStep` is told of each step, with its time in ms since the epoch. */
export async function deployEverywhere(
  servers: readonly NamedServer[],
  document: Omit<Deployment, "id">,
  onStep: (server: string, step: string, at: number) => void,
  signal: AbortSignal,
): Promise<ServerOutcome[]> {
  const id = randomUUID();
  return await Promise.all(
    servers.map(async ({ name, client }): Promise<ServerOutcome> => {
      try {
        const { task, domain } = await client.deploy({ id, ...document }, signal);
        let told = 0;
        const tell = ({ progress }: Task) => {
          for (const { step, at } of progress.slice(told)) onStep(name, step, at);
          told = progress.length;
        };
        await client.waitForTask(task, tell, signal);
        return { server: name, domain: await client.domain(domain, signal) };
      } catch (cause) {
        signal.throwIfAborted();
        const error = cause instanceof XenoError ? cause : new XenoError("deploy-failed", String(cause), { cause });
        return { server: name, error };
      }
    }),
  );
}
