/**
 * Brings a domain back out of a checkpoint: in its place, or as another domain.
 *
 * - (T1) The guest's files are those of the pin: its journal is a fork made there, of the same lineage, so that its handles,
 *   cookies and unanswered requests stay good. Where nothing has changed since the checkpoint, it is the journal itself.
 * - (T2) Until its record says `running`, no instruction of the guest has run: cut off before, all of it is taken back, and the
 *   domain is what it was. The checkpoint is not changed, and can be resumed again.
 * - (T3) Configuration is made anew, from the manifest and from what this XenoServer has free; the memory image adds none.
 */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { XenoError } from "../../cowfs/errors.ts";
import type { CheckpointManifest } from "../checkpoints/manifest.ts";
import type { Domain } from "../hypervisors/hypervisor.ts";
import { createLink } from "../links/guest-link.ts";
import { readBootId } from "../processes.ts";
import type { DomainRecord } from "./domain-record.ts";
import { followDomain } from "./follow-domain.ts";
import {
  describeDomain,
  describeExport,
  describeGuestLink,
  type Host,
  prepareKernel,
  releaseResources,
} from "./host.ts";
import { note } from "./resize-domain.ts";
import { tellGuest } from "./suspend-domain.ts";

export type ResumeStep = "intended" | "forked" | "fileServer" | "hypervisor" | "running" | "resumed";
type OnStep = (step: ResumeStep) => void | Promise<void>;

/** A checkpoint, and where it lies. */
export interface ResumableCheckpoint {
  readonly manifest: CheckpointManifest;
  /** Of the domain that it was taken of, or that it was fetched for. */
  readonly domain: DomainRecord;
}

/** Notes what is about to be done; the record is to be saved then. It has an address where the XenoServer has a pool. */
export function intendResume(record: DomainRecord, manifest: CheckpointManifest): void {
  const { intent, state, journal, deployment, nextSize } = record;
  // The image is of a guest with so much memory, whatever it is to have.
  const { memoryMiB } = manifest.deployment;
  if (memoryMiB !== deployment.memoryMiB) note(record, { ...deployment, memoryMiB }, nextSize ?? deployment);
  record.operation = { kind: "resume", checkpoint: manifest.number, before: { intent, state, journal } };
  if (state !== "deploying") record.state = "starting";
  record.intent = "running";
  record.link = true;
  record.exported = true;
  record.guestAddress = manifest.guestAddress === record.address ? undefined : manifest.guestAddress;
  record.bootEpoch = manifest.bootEpoch;
  record.cutPorts = manifest.guestPorts;
}

/** After `intendResume`. Settles once the guest runs. */
export async function resumeDomain(
  host: Host,
  record: DomainRecord,
  from: ResumableCheckpoint,
  onStep: OnStep,
  signal: AbortSignal,
): Promise<void> {
  const { records, fileServer, hypervisor, log } = host;
  const { manifest } = from;
  const { name } = record;
  let domain: Domain | undefined;
  try {
    const isAsItWas = from.domain === record && record.suspendedAt === manifest.number;
    if (!isAsItWas) record.journal = await nameJournal(host, record);
    await records.save(record);
    await onStep("intended");
    if (!isAsItWas) await forkJournal(host, record, from);
    await onStep("forked");
    const link = await createLink(describeGuestLink(host, record));
    const { layers } = await fileServer.putExport(name, describeExport(host, record), signal);
    record.layers = layers;
    await onStep("fileServer");
    const specification = describeDomain(host, record, link, await prepareKernel(host, record, signal));
    const memory = records.checkpointsOf(from.domain.name).readMemory(manifest);
    domain = await hypervisor.restore(specification, memory, manifest.platform, signal);
    await onStep("hypervisor");
    signal.throwIfAborted();
    record.operation = undefined;
    record.state = "running";
    record.hostBoot = await readBootId();
    record.reason = undefined;
    record.ended = undefined;
    record.endedBy = undefined;
    // From here on its journal changes.
    record.suspendedAt = undefined;
    await records.save(record);
    await onStep("running");
    followDomain(host, record, domain);
    await domain.unpause();
    await tellGuest(host, record, manifest.guestPorts);
    record.cutPorts = undefined;
    await records.save(record);
    await removeUnusedJournals(host, record);
    await onStep("resumed");
  } catch (error) {
    if (record.operation === undefined) throw error;
    log.info({ domain: name, err: error }, "taking back a resume that failed");
    await takeBackResume(host, record, domain);
    throw error;
  }
}

/** (T2) */
export async function takeBackResume(host: Host, record: DomainRecord, domain: Domain | undefined): Promise<void> {
  const { records } = host;
  const { operation } = record;
  if (operation?.kind !== "resume") return;
  await domain?.destroy();
  await releaseResources(host, record);
  if (record.state === "deploying") return await records.remove(record.name);
  Object.assign(record, { journal: undefined, ...operation.before });
  record.operation = undefined;
  record.cutPorts = undefined;
  await records.save(record);
  await removeUnusedJournals(host, record);
}

/** A directory that has not been. */
async function nameJournal(host: Host, record: DomainRecord): Promise<string> {
  if (record.state === "deploying") return "journal";
  const checkpoints = await host.records.checkpointsOf(record.name).list();
  const used = [record.journal, ...checkpoints.map(({ journal }) => journal.directory)];
  const numbers = used.map((directory) => Number(directory?.split("-")[1] ?? 1));
  return `journal-${Math.max(...numbers) + 1}`;
}

async function forkJournal(host: Host, record: DomainRecord, { manifest, domain }: ResumableCheckpoint): Promise<void> {
  const { records, fileServer } = host;
  const fork = records.journalOf(record);
  // What a resume left that was taken back.
  await rm(fork, { recursive: true, force: true });
  const journal = join(records.directoryOf(domain.name), manifest.journal.directory);
  await fileServer.forkSnapshot({ journal, name: manifest.journal.pin, fork, lineage: "same" });
}

/** Journals that are neither the domain's own nor have a checkpoint of it. */
export async function removeUnusedJournals(host: Host, record: DomainRecord): Promise<void> {
  const directory = host.records.directoryOf(record.name);
  const checkpoints = await host.records.checkpointsOf(record.name).list();
  const used = new Set([record.journal ?? "journal", ...checkpoints.map(({ journal }) => journal.directory)]);
  for (const entry of await readdir(directory))
    if (/^journal(-\d+)?$/.test(entry) && !used.has(entry))
      await rm(join(directory, entry), { recursive: true, force: true });
}

/** Forgets a checkpoint, and gives back what nothing else needs. */
export async function removeCheckpoint(host: Host, record: DomainRecord, number: number): Promise<void> {
  const checkpoints = host.records.checkpointsOf(record.name);
  const { journal } = await checkpoints.get(number);
  if (record.suspendedAt === number && record.state === "suspended")
    throw new XenoError("checkpoint-needed", `domain ${record.name} is suspended in checkpoint ${number}`, {
      hint: "resume it, or remove the domain: xeno stop --remove",
    });
  await checkpoints.remove(number);
  const directory = join(host.records.directoryOf(record.name), journal.directory);
  await host.fileServer.dropSnapshot({ journal: directory, name: journal.pin });
  await removeUnusedJournals(host, record);
}
