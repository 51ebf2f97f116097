/**
 * Takes a checkpoint of a running domain, after which its guest ends or goes on.
 *
 * - (S1) Memory and files are of one instant: from the pause on, no instruction of the guest runs and no request of it is
 *   executed, until the checkpoint is kept or given up.
 * - (S2) Every answer that the guest saw precedes the pin: connections are reset and what waits is dropped first. What was
 *   executed and not answered is before the pin too, with its answer, which the guest's retransmission gets (DESIGN 5).
 * - (S3) There is a checkpoint when its manifest is on stable storage. Cut off before, it is given up: the guest goes on
 *   where it is, and its pin and memory go. Cut off after, it is finished.
 * - (S4) A guest whose record says `suspended` never runs again but out of a checkpoint.
 */
import { XenoError } from "../../cowfs/errors.ts";
import type { CheckpointManifest } from "../checkpoints/manifest.ts";
import type { Domain } from "../hypervisors/hypervisor.ts";
import { nameLink } from "../links/guest-link.ts";
import { resetConnections } from "../links/reset-connections.ts";
import type { DomainRecord } from "./domain-record.ts";
import { describeLinkOf, type Host, releaseResources } from "./host.ts";

export type SuspendStep =
  | "intended"
  | "paused"
  | "cut"
  | "pinned"
  | "saved"
  | "kept"
  | "suspended"
  | "ended"
  | "resumed";
type OnStep = (step: SuspendStep) => void | Promise<void>;

/**
 * Settles when the checkpoint is kept, and the guest has ended (`ends`) or runs on. Aborted before the checkpoint is kept, the
 * guest goes on as if nothing had been; afterwards the signal is not heeded.
 */
export async function suspendDomain(
  host: Host,
  record: DomainRecord,
  ends: boolean,
  onStep: OnStep,
  signal: AbortSignal,
): Promise<CheckpointManifest> {
  const { records } = host;
  const domain = host.domains.get(record.name);
  if (record.state !== "running" || domain === undefined)
    throw new XenoError("domain-stopped", `domain ${record.name} does not run: it is ${record.state}`, {
      hint: "only what runs can be suspended",
    });
  signal.throwIfAborted();
  const number = (record.checkpoints ?? 0) + 1;
  record.checkpoints = number;
  record.operation = { kind: "suspend", checkpoint: number, ends };
  await records.save(record);
  let manifest: CheckpointManifest;
  try {
    await onStep("intended");
    manifest = await takeCheckpoint(host, record, domain, onStep, signal);
  } catch (error) {
    await callOff(host, record, domain);
    throw error;
  }
  await concludeSuspend(host, record, domain, onStep);
  return manifest;
}

async function takeCheckpoint(
  host: Host,
  record: DomainRecord,
  domain: Domain,
  onStep: OnStep,
  signal: AbortSignal,
): Promise<CheckpointManifest> {
  const { fileServer, records } = host;
  const { name, deployment, overlayTree, kernelTree } = record;
  const number = record.checkpoints!;
  const checkpoints = records.checkpointsOf(name);
  const platform = await domain.platform();
  await (domain.quiesce?.(signal) ?? domain.pause());
  if ((await domain.state()) !== "paused")
    throw new XenoError("guest-ended", `domain ${name} ended before it could be suspended`);
  await onStep("paused");
  const { guestPorts } = await fileServer.holdExport(name);
  await onStep("cut");
  const { bootEpoch, layers = record.layers } = await fileServer.getExport(name);
  await fileServer.takeSnapshot({ journal: records.journalOf(record), name: namePin(number) });
  await onStep("pinned");
  signal.throwIfAborted();
  const memory = await checkpoints.writeMemory(number, (to) => domain.save(to, signal));
  await onStep("saved");
  signal.throwIfAborted();
  const manifest: CheckpointManifest = {
    format: 1,
    number,
    server: host.name,
    domain: name,
    created: Date.now(),
    deployment,
    overlayTree,
    kernelTree,
    layers: layers && [...layers],
    platform,
    guestAddress: record.guestAddress ?? record.address,
    bootEpoch,
    guestPorts: [...guestPorts],
    memory,
    journal: { directory: record.journal ?? "journal", pin: namePin(number) },
  };
  await checkpoints.keep(manifest);
  await onStep("kept");
  return manifest;
}

/** After (S3): ends the guest, or lets it go on. Also for `reconcile`, which may find no guest any more. */
export async function concludeSuspend(
  host: Host,
  record: DomainRecord,
  domain: Domain | undefined,
  onStep: OnStep = () => {},
): Promise<void> {
  const { operation } = record;
  if (operation?.kind !== "suspend") throw new Error("no suspend is under way");
  if (!operation.ends) {
    if (domain !== undefined) await letGoOn(host, record, domain);
    record.operation = undefined;
    await host.records.save(record);
    return await onStep("resumed");
  }
  record.intent = "suspended";
  record.state = "suspended";
  record.suspendedAt = operation.checkpoint;
  record.operation = undefined;
  record.ended = Date.now();
  await host.records.save(record);
  await onStep("suspended");
  await domain?.destroy();
  host.domains.delete(record.name);
  await releaseResources(host, record);
  await host.records.save(record);
  await onStep("ended");
}

/** Gives a checkpoint up that is not kept. The guest goes on, if it is still there. */
export async function callOff(host: Host, record: DomainRecord, domain: Domain | undefined): Promise<void> {
  const { operation, name } = record;
  if (operation?.kind !== "suspend") return;
  const { records, fileServer, log } = host;
  try {
    if (domain !== undefined) await letGoOn(host, record, domain);
  } catch (error) {
    // It has ended meanwhile: whoever follows it notes that.
    log.error({ domain: name, err: error }, "the guest does not go on after its suspend was given up");
  }
  await records.checkpointsOf(name).remove(operation.checkpoint);
  await fileServer
    .dropSnapshot({ journal: records.journalOf(record), name: namePin(operation.checkpoint) })
    .catch((error) => log.warn({ domain: name, err: error }, "a pin that nothing needs was left in the journal"));
  record.operation = undefined;
  await records.save(record);
}

/** The export serves again before the guest runs: it is never refused. */
async function letGoOn(host: Host, record: DomainRecord, domain: Domain): Promise<void> {
  const { guestPorts } = await host.fileServer.holdExport(record.name);
  await host.fileServer.serveExport(record.name);
  await domain.unpause();
  await tellGuest(host, record, guestPorts);
}

/** Its connections are gone: what it hears of that by itself may have been lost, or take a minute. */
export async function tellGuest(host: Host, record: DomainRecord, ports: readonly number[]): Promise<void> {
  await resetConnections(nameLink(describeLinkOf(host, record.name)), ports).catch((error) =>
    host.log.warn({ domain: record.name, err: error }, "the guest was not told to connect again"),
  );
}

export function namePin(checkpoint: number): string {
  return `checkpoint-${checkpoint}`;
}
