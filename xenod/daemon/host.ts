/** What the operations on domains share: the parts of one XenoServer. */
import type { Logger } from "pino";
import type { FileServerClient } from "../file-server/client.ts";
import type { ExportSpecification } from "../file-server/protocol.ts";
import type { Domain, DomainSpecification, Hypervisor } from "../hypervisors/hypervisor.ts";
import { describeLink, fileServerPort, serverAddress } from "../links/addresses.ts";
import { deleteLink, type GuestLink, nameLink } from "../links/guest-link.ts";
import type { SerialQueues } from "../serial-queues.ts";
import type { AddressPool } from "./address-pool.ts";
import type { PortSettings } from "./admit-ports.ts";
import { locateKernel } from "./deployment.ts";
import type { DomainRecord, DomainRecords } from "./domain-record.ts";
import type { Draining } from "./draining.ts";
import type { KernelImage, KernelImages } from "./kernel-images.ts";

export interface Host {
  readonly name: string;
  /** Begins the names of all namespaces: see links/sweep.ts. */
  readonly linkPrefix: string;
  /** Undefined where there is no network for guests: they reach their file server only. */
  readonly pool: AddressPool | undefined;
  readonly ports: PortSettings;
  readonly nameServers: readonly string[];
  readonly hypervisor: Hypervisor;
  readonly fileServer: FileServerClient;
  readonly draining: Draining;
  readonly records: DomainRecords;
  readonly kernels: KernelImages;
  /** Domains that run, by name. */
  readonly domains: Map<string, Domain>;
  /** One queue per domain. */
  readonly queues: SerialQueues;
  /** Told of each domain whose guest ended by itself, when it is settled. */
  onEnd(record: DomainRecord): void;
  /** Told when a running domain's guest was reset. */
  onReset(record: DomainRecord): void;
  readonly log: Logger;
  /** Told of each step of what must survive a kill at any of them, when the step is done: tests end the process there. */
  onStep?(domain: string, step: string): void | Promise<void>;
}

/** A guest that resets itself takes the next one each time. */
const epochsOfStart = 65_536;

export function describeLinkOf(host: Host, name: string) {
  return { prefix: host.linkPrefix, server: host.name, domain: name, isOnHost: host.ports.isOnHost };
}

/** A domain's link as it is made, each time the same. */
export function describeGuestLink(host: Host, { name, address, guestAddress, deployment }: DomainRecord) {
  const { link: kind } = host.hypervisor.features;
  return { ...describeLinkOf(host, name), kind, address, guestAddress, ports: deployment.ports, ...deployment.network };
}

/** A domain's root as its file server is asked for it, each time the same. */
export function describeExport(host: Host, record: DomainRecord): ExportSpecification {
  const { name, deployment, overlayTree, restarts } = record;
  return {
    url: deployment.overlay,
    tree: overlayTree,
    journal: host.records.journalOf(record),
    listen: { namespace: nameLink(describeLinkOf(host, name)), host: serverAddress, port: fileServerPort },
    initPath: deployment.init,
    quotaBytes: deployment.journalMiB && deployment.journalMiB * 1024 * 1024,
    unsafeAsync: deployment.unsafeAsync,
    bootEpoch: record.bootEpoch ?? (restarts && (restarts * epochsOfStart) % 2 ** 32),
  };
}

/** The files of the domain's kernel. Throws `kernel-unusable`: ask for it before anything is made for the domain. */
export function prepareKernel(
  host: Host,
  { deployment, kernelTree }: DomainRecord,
  signal: AbortSignal,
): Promise<KernelImage> {
  const { url, folder } = locateKernel(deployment);
  return host.kernels.prepare(url, kernelTree, signal, folder);
}

/** What the hypervisor is asked for, each time the same: configuration is Xenod's own to make. */
export function describeDomain(
  host: Host,
  record: DomainRecord,
  link: GuestLink,
  image: KernelImage,
): DomainSpecification {
  const { name, deployment } = record;
  const { memoryMiB, cpus, cpu } = deployment;
  const directory = host.records.directoryOf(name);
  const share = cpu && { cpu: { peakMsPerSecond: cpus * 1000, ...cpu } };
  const commandLine = composeCommandLine(image.commandLine, record);
  return { name, directory, memoryMiB, cpus, ...share, ...image, commandLine, link };
}

/** Ours first: init.sh takes the first word that sets a thing, so a client cannot set what is the host's to say. */
function composeCommandLine(kernelsOwn: string, { name, deployment, address, guestAddress }: DomainRecord): string {
  const { hostname = name, init, kernelCommandLine } = deployment;
  const words = [kernelsOwn, describeLink(guestAddress ?? address), `xeno.hostname=${hostname}`];
  if (init !== undefined) words.push(`xeno.init=${init}`);
  if (kernelCommandLine) words.push(kernelCommandLine);
  return words.join(" ");
}

/** Takes away what a domain had of the host, once its guest is gone: its export, its link, its address. */
export async function releaseResources(host: Host, record: DomainRecord): Promise<void> {
  await host.fileServer.deleteExport(record.name);
  await deleteLink(describeLinkOf(host, record.name));
  record.exported = false;
  record.link = false;
  record.address = undefined;
}
