/** One deployment of the service on one XenoServer, until its page was fetched over the network. */
import type { DomainRecord } from "../../xenod/daemon/domain-record.ts";
import { forwardPorts } from "../../xenod/links/forwarder.ts";
import { deployEverywhere } from "../deploy/deploy-everywhere.ts";
import { untilGuestEnds } from "../deploy/watch-domain.ts";
import type { StartedServer } from "../network/start-server.ts";
import { waitForPage } from "./pages.ts";
import { kernelUrl } from "./prepare.ts";

export const pageText = "Published once, deployed everywhere";
export const pageDeadlineMs = 300_000;
/** Of each guest. */
export const guestSize = { memoryMiB: 512, cpus: 1 } as const;

export interface ServiceDeployment {
  readonly server: StartedServer;
  readonly overlay: string;
  readonly clientNamespace: string;
  /** Each step, with its time in ms since the epoch. */
  readonly onStep: (step: string, at: number) => void;
  /** Closes the port that leads to the guest. */
  readonly cleanup: AsyncDisposableStack;
  readonly signal: AbortSignal;
  /** How long the page may take; default 300,000. */
  readonly deadlineMs?: number;
}

export interface ServiceAnswer {
  /** On 127.0.0.1. */
  readonly url: string;
  /** When the page had come, in ms since the epoch. */
  readonly answeredAt: number;
  readonly domain: DomainRecord;
}

/** Rejects with what the deployment failed with, `guest-ended`, or `page-missing`; the domain may then still exist. */
export async function deployAndFetch(deployment: ServiceDeployment): Promise<ServiceAnswer> {
  const { server, overlay, onStep, signal } = deployment;
  const document = { name: "apache", overlay, kernel: kernelUrl, ...guestSize };
  const tell = (_server: string, step: string, at: number) => onStep(step, at);
  const [{ domain, error }] = await deployEverywhere([server], document, tell, signal);
  if (domain === undefined) throw error;
  return await fetchPage({ ...deployment, domain });
}

export type ServedPage = Omit<ServiceDeployment, "overlay" | "onStep"> & { readonly domain: DomainRecord };

/** Opens a port that leads to the guest, and asks until its page comes. Rejects with `guest-ended` or `page-missing`. */
export async function fetchPage(page: ServedPage): Promise<ServiceAnswer> {
  const { server, domain, clientNamespace, cleanup, signal, deadlineMs = pageDeadlineMs } = page;
  const target = { host: domain.address!, port: 80 };
  const forwarder = await forwardPorts(clientNamespace, [{ listen: { host: "127.0.0.1", port: 0 }, target }]);
  cleanup.defer(() => forwarder.close());
  const url = `http://127.0.0.1:${forwarder.ports[0]}/`;
  const answered = new AbortController();
  try {
    const watching = AbortSignal.any([signal, answered.signal]);
    await Promise.race([
      waitForPage(url, pageText, deadlineMs, watching),
      untilGuestEnds(server.client, domain.name, watching),
    ]);
  } finally {
    answered.abort();
  }
  const answeredAt = Date.now();
  return { url, answeredAt, domain: await server.client.domain(domain.name, signal) };
}
