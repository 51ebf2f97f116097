/** The story of the control plane (story.ts) with real guests: two XenoCorps, three XenoServers, two clients. */
import { rm } from "node:fs/promises";
import { createKey } from "../../xenostore/keys/key-ring.ts";
import type { SessionView } from "../sessions/describe.ts";
import { fetchPage, guestSize } from "./deploy-and-fetch.ts";
import { startMarket } from "./market.ts";
import { kernelUrl } from "./prepare.ts";
import type { ServerReport } from "./report.ts";
import { type StoryReport, tellStory } from "./story.ts";
import type { Deploying } from "./unpaid.ts";

/** Micro-units an hour. */
const prices = { session: 10_000, MemoryMiB: 200, NetMbps: 40_000 };
const chargeSeconds = 5;
/** At 160.00 an hour, what is left of 0.20 is gone in some seconds. */
const fastMbps = 4_000;

export async function deployPaid(deploying: Deploying): Promise<StoryReport> {
  const { home, local, overlay, startedAt, narrator, signal, cleanup, onDeployed } = deploying;
  const stateDirectory = home.at("start", "market");
  await rm(stateDirectory, { recursive: true, force: true });
  const [a, b, c] = local.servers;
  const market = await startMarket({
    ...{ stateDirectory, chargeSeconds, kernels: { "6.1": kernelUrl }, cleanup, log: narrator.tell },
    sellers: [
      { machine: a!, accepts: [0], prices },
      { machine: b!, accepts: [0], prices },
      { machine: c!, accepts: [0, 1], prices: { ...prices, session: 20_000 } },
    ],
  });
  const reports = new Map<string, ServerReport>();
  const untilServes = async ({ machine, tasks }: SessionView) => {
    const server = local.servers.find(({ name }) => name === machine)!;
    const domain = await server.client.domain(tasks[0]!.domain!, signal);
    const { clientNamespace } = local;
    const answer = await fetchPage({ server, domain, clientNamespace, cleanup, signal });
    narrator.tell(machine, `answers at ${answer.url} after ${((answer.answeredAt - startedAt) / 1000).toFixed(1)} s`);
    const { url, answeredAt, domain: booted } = answer;
    const { accepted, init } = booted.steps;
    const bootMs = accepted === undefined || init === undefined ? undefined : init - accepted;
    const answerMs = answeredAt - startedAt;
    // How it booted is told of its boot, and where it answers as it is now.
    const first = reports.get(machine) ?? { name: machine, status: "ok", bootMs, answerMs, domain: booted };
    reports.set(machine, { ...first, url });
  };
  const keys = home.at("start", "market", "keys");
  return await tellStory({
    ...{ market, overlay, memoryMiB: guestSize.memoryMiB, fastMbps, untilServes, signal, tell: narrator.tell },
    keys: { ada: await createKey(keys, "ada"), bob: await createKey(keys, "bob") },
    stayUp: () => onDeployed([...reports.values()].sort((one, other) => (one.name < other.name ? -1 : 1))),
  });
}
