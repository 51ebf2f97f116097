/** What the operations on domains share: the parts of one XenoServer. */
import type { Logger } from "pino";
import type { FileServerClient } from "../file-server/client.ts";
import type { ExportSpecification } from "../file-server/protocol.ts";
import type { Domain, Hypervisor } from "../hypervisors/hypervisor.ts";
import { fileServerPort, serverAddress } from "../links/addresses.ts";
import { deleteLink, nameLink } from "../links/guest-link.ts";
import type { SerialQueues } from "../serial-queues.ts";
import type { AddressPool } from "./address-pool.ts";
import type { PortSettings } from "./admit-ports.ts";
import type { DomainRecord, DomainRecords } from "./domain-record.ts";
import type { KernelImages } from "./kernel-images.ts";

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
}

/** A guest that resets itself takes the next one each time. */
const epochsOfStart = 65_536;

export function describeLinkOf(host: Host, name: string) {
  return { prefix: host.linkPrefix, server: host.name, domain: name, isOnHost: host.ports.isOnHost };
}

/** A domain's link as it is made, each time the same. */
export function describeGuestLink(host: Host, { name, address, deployment }: DomainRecord) {
  return { ...describeLinkOf(host, name), address, ports: deployment.ports };
}

/** A domain's root as its file server is asked for it, each time the same. */
export function describeExport(
  host: Host,
  { name, deployment, overlayTree, restarts }: DomainRecord,
): ExportSpecification {
  return {
    url: deployment.overlay,
    tree: overlayTree,
    journal: host.records.journalOf(name),
    listen: { namespace: nameLink(describeLinkOf(host, name)), host: serverAddress, port: fileServerPort },
    initPath: deployment.init,
    bootEpoch: restarts && (restarts * epochsOfStart) % 2 ** 32,
  };
}

/** Takes away what a domain had of the host, once its guest is gone: its export, its link, its address. */
export async function releaseResources(host: Host, record: DomainRecord): Promise<void> {
  await host.fileServer.deleteExport(record.name);
  await deleteLink(describeLinkOf(host, record.name));
  record.exported = false;
  record.link = false;
  record.address = undefined;
}
