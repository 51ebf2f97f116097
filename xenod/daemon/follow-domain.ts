/** Keeps a running domain's record true: its boot, its resets, its end. */
import { setTimeout as delay } from "node:timers/promises";
import { XenoError } from "../../cowfs/errors.ts";
import type { Domain } from "../hypervisors/hypervisor.ts";
import type { DomainRecord } from "./domain-record.ts";
import { type Host, releaseResources } from "./host.ts";

const pollMs = 100;
/** Where the host is slow, asking takes no more than a fifth of its time. */
const restPerAsking = 4;

/** From now on the record says when the domain ends, and the file server when it is reset. */
export function followDomain(host: Host, record: DomainRecord, domain: Domain): void {
  const { name } = record;
  host.domains.set(name, domain);
  domain.onReboot(() => {
    host.log.info({ domain: name }, "the guest was reset");
    host.fileServer
      .startEpoch(name)
      .catch((error) => host.log.error({ domain: name, err: error }, "no new boot epoch"));
    host.onReset(record);
  });
  domain
    .ended()
    .then((why) => host.queues.run(name, () => noteEnd(host, record, domain, why)))
    .catch((error) => host.log.error({ domain: name, err: error }, "the domain's end was not settled"));
}

async function noteEnd(host: Host, record: DomainRecord, domain: Domain, why: "stopped" | "crashed"): Promise<void> {
  if (host.domains.get(record.name) === domain) host.domains.delete(record.name);
  // Whoever meant it to end says so, and cleans up.
  if (record.intent !== "running" || record.state !== "running") return;
  host.log.info({ domain: record.name, why }, "the guest ended");
  record.state = why;
  record.endedBy = why === "stopped" ? "power-off" : "crash";
  record.reason = why === "stopped" ? "the guest powered off" : "the guest crashed; its console log says how";
  record.ended = Date.now();
  await host.records.save(record);
  await releaseResources(host, record);
  await host.records.save(record);
  host.onEnd(record);
}

/**
 * Settles once the guest has read its init program, and has noted when it got so far. Rejects with `guest-ended` when the
 * domain ends before; with the signal's reason when that comes first.
 */
export async function watchBoot(
  host: Host,
  record: DomainRecord,
  signal: AbortSignal,
  onStep: (step: "root" | "init", at: number) => void = () => {},
): Promise<void> {
  const steps = [
    ["root", "mounted"],
    ["init", "init"],
  ] as const;
  for (;;) {
    const begun = performance.now();
    const status = await host.fileServer.getExport(record.name, signal).catch((error) => {
      if (error instanceof XenoError && error.code === "export-unknown") return undefined;
      throw error;
    });
    const askingMs = performance.now() - begun;
    let isNew = false;
    for (const [step, event] of steps) {
      const at = status?.events[event];
      if (at === undefined || record.steps[step] !== undefined) continue;
      record.steps[step] = at;
      onStep(step, at);
      isNew = true;
    }
    const hasEnded = record.state !== "running" || record.intent !== "running";
    if (isNew && !hasEnded) await host.queues.run(record.name, () => saveIfKnown(host, record));
    if (record.steps.init !== undefined) return;
    if (hasEnded) {
      // What it had of the host is being taken back: it is free when the failure is told.
      await host.queues.run(record.name, async () => {});
      throw new XenoError("guest-ended", `domain ${record.name} ended before its init ran`, {
        hint: `its console says why: xeno logs ${record.name}`,
      });
    }
    await delay(Math.max(pollMs, restPerAsking * askingMs), undefined, { signal });
  }
}

async function saveIfKnown(host: Host, record: DomainRecord): Promise<void> {
  if (host.records.find(record.name) === record) await host.records.save(record);
}
