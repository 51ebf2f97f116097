/**
 * Sends a running domain to another XenoServer: its checkpoints and its journal while it runs, its memory while it runs, then, stopped, what
 * is left of both; and hands it over (source-end.ts).
 *
 * - (V1) Until the domain is `moved`, whatever fails ends with the guest running here as if nothing had been (H3).
 * - (V2) From the stop on, no instruction of the guest runs and no request of it is executed here. Its connections are cut
 *   before the last pin, so every answer that it saw is in the journal that the target gets, and so is what was executed and not
 *   answered, with its answer (as S1 and S2 in suspend-domain.ts).
 * - (V3) The guest stands still for a bounded time: what takes longer is given up.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { XenoError } from "../../../cowfs/errors.ts";
import type { Domain, OutgoingMigration as MemoryTransfer } from "../../hypervisors/hypervisor.ts";
import type { OutgoingMigration } from "../../migration/ends/migration-ends.ts";
import { memoryPath, type SentCheckpoint, sendCheckpoints } from "../../migration/journal/send-checkpoints.ts";
import { JournalSender } from "../../migration/journal/send-journal.ts";
import { describeOffer, type FinalState, type MigrationOffer } from "../../migration/peers/messages.ts";
import type { Peer } from "../../migration/peers/peer.ts";
import { TargetClient } from "../../migration/peers/target-client.ts";
import { cancelMigration, sayFinal } from "../../migration/protocol/source.ts";
import type { DomainRecord } from "../domain-record.ts";
import type { Host } from "../host.ts";
import type { MigrationContext } from "./context.ts";
import { findMoving, type HandOverStep, inDoubt, placeOfSending, SourceEnd } from "./source-end.ts";

export type SendStep =
  | "offered"
  | "checkpoints sent"
  | "journal copied"
  | "memory begun"
  | "stopped"
  | "cut"
  | "journal sent"
  | "root open"
  | "sent"
  | HandOverStep;
export interface MigrationRequest {
  readonly to: Peer;
  /** Its checkpoints stay behind, and go with what is here. Default: they go with it. */
  readonly dropCheckpoints?: boolean;
}

type OnStep = (step: SendStep) => void | Promise<void>;

/** (V3) For what is left once it is stopped, and for the target to be ready. Under TCG that is all of its memory. */
const stoppedMs = 120_000;
const remindMs = 250;
/** The journal is copied again while that sends so much; the guest may write faster than it is sent. */
const smallBytes = 8 * 1024 * 1024;
const maxCopies = 3;

/**
 * Settles once the target owns the domain, and nothing of it is here. Rejects with why it did not move; with
 * `migration-in-doubt` where nobody knows yet, and then it is stopped until the target answers.
 */
export async function sendDomain(
  context: MigrationContext,
  record: DomainRecord,
  { to, dropCheckpoints = false }: MigrationRequest,
  onStep: OnStep,
  signal: AbortSignal,
): Promise<void> {
  const domain = context.host.domains.get(record.name);
  if (record.state !== "running" || domain === undefined)
    throw new XenoError("domain-stopped", `domain ${record.name} does not run: it is ${record.state}`, {
      hint: "only what runs can be migrated; xeno checkpoint publish takes what is suspended elsewhere",
    });
  if (!context.host.hypervisor.features.liveMigration)
    throw new XenoError("migration-unsupported", `XenoServer ${context.host.name} cannot move a guest that runs`, {
      hint: "suspend it, publish its checkpoint, and resume that elsewhere: xeno suspend --help",
    });
  signal.throwIfAborted();
  const history = dropCheckpoints ? [] : await listHistory(context.host, record);
  const target = new TargetClient(context.host.name, to, await context.identity());
  try {
    const offer = describeOffer(record, await domain.platform());
    const end = await beginMigration(context, record, offer, target, onStep, signal);
    try {
      await onStep("offered");
      end.final = await sendAll(context.host, record, domain, { target, end, history, onStep, signal });
      await onStep("sent");
      await handOver(end, context.patienceMs, signal);
    } catch (error) {
      await giveUp(end);
      throw error;
    } finally {
      await concludeMigration(context, end);
    }
  } finally {
    await target.close();
  }
}

async function beginMigration(
  context: MigrationContext,
  record: DomainRecord,
  offer: MigrationOffer,
  target: TargetClient,
  onStep: OnStep,
  signal: AbortSignal,
): Promise<SourceEnd> {
  const { host, ends } = context;
  const migration = await target.offer(offer, signal);
  const outgoing: OutgoingMigration = {
    ...{ format: 1, side: "source", migration, domain: record.name, created: Date.now() },
    ...{ to: target.peer, saved: { state: "here" } },
  };
  // (E2)
  await ends.save(outgoing, outgoing.saved);
  record.operation = { kind: "migrate", migration, to: target.peer.name };
  await host.records.save(record);
  const end = new SourceEnd(context, outgoing, target, onStep);
  end.progress = { migration, phase: "copying" };
  return end;
}

interface Sending {
  readonly target: TargetClient;
  readonly end: SourceEnd;
  readonly history: readonly SentCheckpoint[];
  readonly onStep: OnStep;
  readonly signal: AbortSignal;
}

/** Settles when the guest is stopped here, and all of it has been sent. */
async function sendAll(host: Host, record: DomainRecord, domain: Domain, sending: Sending): Promise<FinalState> {
  const { target, end, history, onStep, signal } = sending;
  const { migration } = end.outgoing;
  const place = placeOfSending(host, record);
  await mkdir(place, { recursive: true, mode: 0o700 });
  let within = signal;
  const journal = new JournalSender(host.fileServer, host.records.journalOf(record), place, (file, from) =>
    target.sendFile(migration, file.path, from, file.bytes, within),
  );
  if (history.length > 0) {
    // First, for they share it.
    await journal.copy();
    const at = target.checkpointsOf(migration, signal);
    await sendCheckpoints(history, { fileServer: host.fileServer, place, shared: journal.shared, target: at, signal });
    await onStep("checkpoints sent");
  }
  for (let copies = 0; copies < maxCopies; copies++) {
    signal.throwIfAborted();
    if ((await journal.copy()) < smallBytes) break;
  }
  await onStep("journal copied");
  const stream = await target.openMemory(migration, signal);
  try {
    const memory = await domain.migrate(stream, signal);
    await onStep("memory begun");
    await memory.stopped();
    within = AbortSignal.any([signal, AbortSignal.timeout(stoppedMs)]);
    return await sendRest(host, record, memory, journal, { ...sending, signal: within });
  } catch (error) {
    const isLost = !within.aborted && (error === stream.errored || isCutOff(error));
    stream.destroy();
    throw isLost ? unreachable(end.outgoing, error) : error;
  }
}

/** A connection that is closed in the middle, without an error of its own. */
function isCutOff(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ERR_STREAM_PREMATURE_CLOSE";
}

/** What its memory went through broke: the other XenoServer, or the way there. */
function unreachable({ domain, to }: OutgoingMigration, cause: unknown): XenoError {
  return new XenoError("server-unreachable", `XenoServer ${to.name} went away while ${domain} was sent to it`, {
    hint: "the guest goes on here; see that both reach each other, and try again",
    cause,
  });
}

/** Oldest first. */
async function listHistory({ records }: Host, { name }: DomainRecord): Promise<SentCheckpoint[]> {
  const checkpoints = records.checkpointsOf(name);
  return (await checkpoints.list()).map((manifest) => ({
    manifest,
    memory: checkpoints.pathOf(manifest.number, memoryPath),
    journal: join(records.directoryOf(name), manifest.journal.directory),
  }));
}

/** (V2) */
async function sendRest(
  host: Host,
  { name }: DomainRecord,
  memory: MemoryTransfer,
  journal: JournalSender,
  { target, end, onStep, signal }: Sending,
): Promise<FinalState> {
  // The guest stands still: what is left of its memory goes beside the rest of its journal.
  const sent = memory.finish();
  sent.catch(() => {});
  try {
    await onStep("stopped");
    const { guestPorts } = await host.fileServer.holdExport(name);
    await onStep("cut");
    const { bootEpoch } = await host.fileServer.getExport(name);
    const { files, small } = await journal.finish();
    const final = { files, bootEpoch, guestPorts: [...guestPorts] };
    await onStep("journal sent");
    await target.endJournal(end.outgoing.migration, { final, small }, signal);
    await onStep("root open");
    await untilAborted(sent, signal);
    return final;
  } catch (error) {
    await memory.cancel();
    throw error;
  }
}

/** Settles when the target owns the domain. What is not answered within `patienceMs` is asked in the background from then on. */
async function handOver(end: SourceEnd, patienceMs: number, signal: AbortSignal): Promise<void> {
  const { outgoing } = end;
  const { to, domain, migration } = outgoing;
  const stateNow = () => outgoing.saved.state;
  await end.carryOut(sayFinal(migration));
  for (const until = performance.now() + patienceMs; stateNow() === "here"; await delay(remindMs)) {
    signal.throwIfAborted();
    if (end.problem !== undefined)
      throw new XenoError(end.problem.code, end.problem.message, { hint: end.problem.hint });
    if (isRefusal(end.silence)) throw end.silence;
    if (end.progress === undefined) throw refused(outgoing);
    if (performance.now() > until)
      throw new XenoError("server-unreachable", `XenoServer ${to.name} does not say that it has all of ${domain}`, {
        hint: "the guest goes on here; see that both reach each other, and try again",
        cause: end.silence,
      });
    await end.remind();
  }
  for (const until = performance.now() + patienceMs; stateNow() === "moved"; await delay(remindMs)) {
    if (performance.now() > until) throw inDoubt(outgoing, end.silence);
    await end.remind();
  }
  if (stateNow() === "here") throw refused(outgoing);
}

/** It answers, and says no. */
function isRefusal(silence: unknown): boolean {
  return silence instanceof XenoError && silence.code !== "server-unreachable";
}

function refused({ domain, to }: OutgoingMigration): XenoError {
  return new XenoError("migration-refused", `XenoServer ${to.name} lost what it had of domain ${domain}`, {
    hint: "the guest goes on here; try again",
  });
}

/** (V1) Where it has moved, nothing happens. */
async function giveUp(end: SourceEnd): Promise<void> {
  await end.carryOut(cancelMigration({ saved: end.outgoing.saved, progress: end.progress }));
}

/** Forgets a migration that neither side has anything to say about any more; else it stays for later. */
export async function concludeMigration({ ends, host }: MigrationContext, end: SourceEnd): Promise<void> {
  if (!(await end.remind()) || findMoving(host, end.outgoing) !== undefined) return;
  await ends.forget(end.outgoing.migration);
}

function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
