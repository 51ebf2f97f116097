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
async function haltDomain(host: Host, record: DomainRecord, graceMs: number, signal: AbortSignal): Promise<void> {
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
async function endMoving(host: Host, record: DomainRecord, graceMs: number, signal: AbortSignal): Promise<void> {
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

export interface EndOfAll {
  readonly graceMs: number;
  /** Else their journals stay. */
  readonly remove: boolean;
  /** What ran is still meant to run, as when its host boots anew. */
  readonly halt?: boolean;
}

/** Every domain, all at once. Each failure is logged; returns the first. */
export async function endEveryDomain(
  host: Host,
  { graceMs, remove, halt }: EndOfAll,
  signal: AbortSignal,
): Promise<{ readonly error: unknown } | undefined> {
  const { records, queues, log } = host;
  const ended = await Promise.allSettled(
    records.list().map(({ name }) =>
      queues.run(name, async () => {
        const record = records.find(name);
        if (record === undefined) return;
        const isMoving = record.state === "moved" || record.state === "receiving";
        const end = remove ? removeDomain : isMoving ? endMoving : halt ? haltDomain : stopDomain;
        await end(host, record, graceMs, signal);
      }),
    ),
  );
  const failures = ended.filter((end) => end.status === "rejected");
  for (const { reason } of failures) log.error({ err: reason }, "a domain was not ended");
  return failures.length === 0 ? undefined : { error: failures[0].reason };
}

async function endGuest(host: Host, record: DomainRecord, graceMs: number, signal: AbortSignal): Promise<void> {
  const { name } = record;
  const domain = host.domains.get(name) ?? (await host.hypervisor.find(name, host.records.directoryOf(name)));
  if (domain === undefined) return;
  if (graceMs > 0) await domain.shutdown(graceMs, signal);
  else await domain.destroy();
  host.domains.delete(name);
}
