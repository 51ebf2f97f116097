/** With the operator's key, and without any XenoCorp: one deployment on all XenoServers. */
import type { Home } from "../cli/home.ts";
import type { StartedServer } from "../network/start-server.ts";
import type { LocalServers } from "../network/start-servers.ts";
import { deployAndFetch } from "./deploy-and-fetch.ts";
import type { Narrator } from "./narrate.ts";
import type { ServerReport } from "./report.ts";

export interface Deploying {
  readonly home: Home;
  readonly local: LocalServers;
  readonly overlay: string;
  /** Ms since the epoch. */
  readonly startedAt: number;
  readonly narrator: Narrator;
  readonly signal: AbortSignal;
  readonly cleanup: AsyncDisposableStack;
  /** Called once every XenoServer has answered or failed. */
  onDeployed(servers: ServerReport[]): Promise<void>;
}

export async function deployUnpaid(deploying: Deploying): Promise<undefined> {
  const { local, onDeployed } = deploying;
  await onDeployed(await Promise.all(local.servers.map((server) => deployOn(server, deploying))));
}

async function deployOn(server: StartedServer, deploying: Deploying): Promise<ServerReport> {
  const { overlay, local, startedAt, narrator, signal, cleanup } = deploying;
  const { name } = server;
  const secondsAt = (at: number) => ((at - startedAt) / 1000).toFixed(1);
  const onStep = (step: string, at: number) => narrator.tell(name, `${step} at ${secondsAt(at)} s`);
  try {
    const deployment = { server, overlay, clientNamespace: local.clientNamespace, onStep, cleanup, signal };
    const { url, answeredAt, domain } = await deployAndFetch(deployment);
    narrator.tell(name, `answers at ${url} after ${secondsAt(answeredAt)} s`);
    const bootMs = domain.steps.init! - domain.steps.accepted!;
    return { name, status: "ok", bootMs, answerMs: answeredAt - startedAt, url, domain };
  } catch (error) {
    signal.throwIfAborted();
    narrator.tell(name, `failed: ${(error as Error).message}`);
    return { name, status: "failed", error: (error as Error).message };
  }
}
