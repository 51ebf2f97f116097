/** Stops and removes domains. Each can be cut off anywhere and is then finished by `reconcile`. */
import type { DomainRecord } from "./domain-record.ts";
import { type Host, releaseResources } from "./host.ts";

/** Asks the guest to power off, ends it after `graceMs`, and takes back what it had. The journal stays. */
export async function stopDomain(
  host: Host,
  record: DomainRecord,
  graceMs: number,
  signal: AbortSignal,
): Promise<void> {
  // Noted also of one that has ended: it is not started again by itself.
  record.intent = "stopped";
  await host.records.save(record);
  if (record.state !== "running") return;
  await endGuest(host, record, graceMs, signal);
  await releaseResources(host, record);
  record.state = "stopped";
  record.ended = Date.now();
  await host.records.save(record);
}

/** As `stopDomain`, but the domain is still meant to run: its restart policy decides when the XenoServer starts again. */
export async function haltDomain(
  host: Host,
  record: DomainRecord,
  graceMs: number,
  signal: AbortSignal,
): Promise<void> {
  if (record.state !== "running") return;
  await endGuest(host, record, graceMs, signal);
  record.state = "stopped";
  record.endedBy = "host-boot";
  record.reason = "its XenoServer was halted";
  record.ended = Date.now();
  await host.records.save(record);
  await releaseResources(host, record);
  await host.records.save(record);
}

/** Of one that moves between XenoServers only the guest ends: whose it is, is settled when this one runs again. */
export async function endMoving(host: Host, record: DomainRecord, graceMs: number, signal: AbortSignal): Promise<void> {
  await endGuest(host, record, graceMs, signal);
}

/** Ends the domain and deletes everything of it, its journal too. */
export async function removeDomain(host: Host, record: DomainRecord, graceMs: number, signal: AbortSignal) {
  record.intent = "removed";
  await host.records.save(record);
  await endGuest(host, record, graceMs, signal);
  await releaseResources(host, record);
  await host.records.remove(record.name);
}

async function endGuest(host: Host, record: DomainRecord, graceMs: number, signal: AbortSignal): Promise<void> {
  const { name } = record;
  const domain = host.domains.get(name) ?? (await host.hypervisor.find(name, host.records.directoryOf(name)));
  if (domain === undefined) return;
  if (graceMs > 0) await domain.shutdown(graceMs, signal);
  else await domain.destroy();
  host.domains.delete(name);
}
