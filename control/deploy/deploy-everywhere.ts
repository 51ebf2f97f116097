/**
 * One deployment on many XenoServers at once. One that fails does not hold up the others; each tells how it went.
 *
 * Interrupted, it takes back what it began everywhere: no guest stays that nobody was told of. So the requests
 * themselves are not cut short: each is answered within seconds, and says what there is to take back.
 */
import { randomUUID } from "node:crypto";
import { XenoError } from "../../cowfs/errors.ts";
import type { Begun, XenodClient } from "../../xenod/api/client.ts";
import type { DomainRecord } from "../../xenod/daemon/domain-record.ts";
import type { Task } from "../../xenod/daemon/task-list.ts";
import { type DeploymentDocument, deploymentFor } from "./document.ts";

export interface ServerOutcome {
  readonly server: string;
  readonly domain?: DomainRecord;
  readonly error?: XenoError;
}

export interface NamedServer {
  readonly name: string;
  readonly client: XenodClient;
}

/** A guest that runs by then is ended hard; what does not answer by then is left to its operator. */
const takeBackMs = 20_000;

/** Settles when every server has answered for good. `onStep` is told of each step, with its time in ms since the epoch. */
export async function deployEverywhere(
  servers: readonly NamedServer[],
  document: DeploymentDocument,
  onStep: (server: string, step: string, at: number) => void,
  signal: AbortSignal,
): Promise<ServerOutcome[]> {
  const { id = randomUUID() } = document;
  const begun = new Map<NamedServer, Begun>();
  signal.throwIfAborted();
  const outcomes = await Promise.all(
    servers.map(async (server): Promise<ServerOutcome> => {
      const { name, client } = server;
      try {
        const { task, domain, isRepeated } = await client.deploy(deploymentFor(document, name, id));
        if (!isRepeated) begun.set(server, { task, domain });
        let told = 0;
        const tell = ({ progress }: Task) => {
          for (const { step, at } of progress.slice(told)) onStep(name, step, at);
          told = progress.length;
        };
        await client.waitForTask(task, tell, signal);
        return { server: name, domain: await client.domain(domain, signal) };
      } catch (cause) {
        const error = cause instanceof XenoError ? cause : new XenoError("deploy-failed", String(cause), { cause });
        return { server: name, error };
      }
    }),
  );
  if (signal.aborted) {
    const deadline = AbortSignal.timeout(takeBackMs);
    await Promise.allSettled([...begun].map(([{ client }, { domain }]) => takeBack(client, domain, deadline)));
    signal.throwIfAborted();
  }
  return outcomes;
}

async function takeBack(client: XenodClient, domain: string, signal: AbortSignal): Promise<void> {
  const { task } = await client.remove(domain, 0, signal);
  await client.waitForTask(task, undefined, signal);
}
