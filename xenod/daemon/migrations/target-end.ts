/**
 * The target's end of migrations, carried out: receptions, from the offer to the guest that runs here, or to nothing.
 *
 * - (I1) What is saved is in the migration's file first (E1); until that says `prepared`, whoever finds the domain takes all of it
 *   back, and nobody misses it.
 * - (I2) Only what is the reception's own is thrown away: the domain whose operation is this migration. A domain that runs
 *   here has none.
 * - (I3) No instruction of the guest runs here before `owned` is saved (H3 in hypervisor.ts, H6).
 * - (I4) A reception that nobody feeds any more is given up, unless it is prepared.
 */
import { randomUUID } from "node:crypto";
import type { Duplex, Readable } from "node:stream";
import { XenoError } from "../../../cowfs/errors.ts";
import { describeError, type ErrorBody } from "../../http/json-server.ts";
import type { Domain, DomainSpecification } from "../../hypervisors/hypervisor.ts";
import { createLink } from "../../links/guest-link.ts";
import type { IncomingMigration } from "../../migration/ends/migration-ends.ts";
import { completeJournal, receiveFile } from "../../migration/journal/receive-journal.ts";
import type { FinalState, MigrationOffer, SourceSays, TargetAnswer } from "../../migration/peers/messages.ts";
import type { MigrationId, TargetMessage } from "../../migration/protocol/messages.ts";
import { hearSource, remindSource, restartTarget, type TargetAction } from "../../migration/protocol/target.ts";
import { readBootId } from "../../processes.ts";
import { admit, isUp } from "../../resources/admission.ts";
import { admitPorts } from "../admit-ports.ts";
import { admissionQueue, chooseName, maxDomains } from "../deployment.ts";
import type { DomainRecord } from "../domain-record.ts";
import { followDomain } from "../follow-domain.ts";
import {
  describeDomain,
  describeExport,
  describeGuestLink,
  type Host,
  prepareKernel,
  releaseResources,
} from "../host.ts";
import { tellGuest } from "../suspend-domain.ts";
import type { MigrationContext } from "./context.ts";

export type ReceiveStep = "accepted" | "memory received" | "whole" | "prepared" | "owned" | "running" | "refused";

interface Reception {
  readonly incoming: IncomingMigration;
  readonly specification?: DomainSpecification;
  readonly platform: string;
  readonly ended: AbortController;
  memory?: Promise<void>;
  domain?: Domain;
  isWhole: boolean;
  failure?: ErrorBody;
  idle?: NodeJS.Timeout;
}

/** (I4) A source that is slow sends a file at least in that time. */
const idleMs = 120_000;
/** Of a guest whose source has sent all: what is left is for QEMU to take. */
const memoryMs = 60_000;
const maxReceptions = 32;

export class TargetEnd {
  readonly #context: MigrationContext;
  readonly #ending: AbortSignal;
  readonly #receptions = new Map<MigrationId, Reception>();

  constructor(context: MigrationContext, ending: AbortSignal) {
    this.#context = context;
    this.#ending = ending;
    ending.addEventListener("abort", () => {
      for (const { idle } of this.#receptions.values()) clearTimeout(idle);
    });
  }

  /** Takes the room that the domain needs. Throws `domain-exists`, what admission throws, `kernel-unusable`. */
  async accept(from: string, offer: MigrationOffer): Promise<MigrationId> {
    const { host } = this.#context;
    const migration = randomUUID();
    const { domain: name } = offer;
    const admitted = await host.queues.run(admissionQueue, () =>
      host.queues.run(name, async () => {
        this.#ending.throwIfAborted();
        const record = await admitOffer(host, from, migration, offer);
        if (this.#receptions.size >= maxReceptions)
          throw new XenoError("receptions-full", `${maxReceptions} domains are on their way here`, { hint: "wait" });
        await host.records.save(record);
        return record;
      }),
    );
    await host.queues.run(name, async () => {
      try {
        const link = await createLink(describeGuestLink(host, admitted));
        const kernel = await prepareKernel(host, admitted, this.#ending);
        this.#remember({
          incoming: {
            ...{ format: 1, side: "target", migration, domain: name, created: Date.now(), from },
            saved: { state: "unknown" },
          },
          specification: describeDomain(host, admitted, link, kernel),
          platform: offer.platform,
          ended: new AbortController(),
          isWhole: false,
        });
        await host.onStep?.(name, "receive accepted");
      } catch (error) {
        await discardReceived(host, migration, name);
        throw error;
      }
    });
    return migration;
  }

  /** A file of the journal, on stable storage when it settles. */
  async receiveFile(from: string, migration: MigrationId, path: string, content: Readable): Promise<void> {
    const reception = this.#find(from, migration);
    this.#touch(reception);
    const record = this.#requireUnknown(reception);
    const { records } = this.#context.host;
    const signal = AbortSignal.any([this.#ending, reception.ended.signal]);
    await receiveFile(records.journalOf(record), path, content, signal);
    this.#touch(reception);
  }

  /** The guest's memory, from a connection that is this reception's from now on. */
  receiveMemory(from: string, migration: MigrationId, stream: Duplex): void {
    const reception = this.#find(from, migration);
    const { specification, incoming } = reception;
    this.#requireUnknown(reception);
    if (specification === undefined || reception.memory !== undefined)
      throw new XenoError("reception-conflict", `the memory of ${incoming.domain} is being received already`);
    reception.memory = this.#receive(reception, specification, stream).catch((error) => {
      reception.failure ??= describeError(error);
      stream.destroy();
      void this.#giveUp(reception);
    });
  }

  async #receive(reception: Reception, specification: DomainSpecification, stream: Duplex): Promise<void> {
    const { host } = this.#context;
    const { domain: name, migration } = reception.incoming;
    const signal = AbortSignal.any([this.#ending, reception.ended.signal]);
    const domain = await host.hypervisor.receive(specification, stream, reception.platform, signal);
    if (signal.aborted) {
      await domain.destroy();
      throw signal.reason;
    }
    this.#touch(reception);
    this.#hold(reception, domain);
    host.log.info({ domain: name, migration }, "its memory is here");
    await host.onStep?.(name, "receive memory received");
  }

  /** Hears what the source says, and answers. */
  async hear(from: string, migration: MigrationId, says: SourceSays): Promise<TargetAnswer> {
    const { kind, final } = says;
    const { domain } = this.#findIncoming(from, migration) ?? {};
    if (domain === undefined && kind !== "go")
      return { ...this.#describe(migration), problem: unknownReception(migration) };
    return await this.#context.host.queues.run(domain ?? `migration ${migration}`, async () => {
      const reception = this.#receptions.get(migration);
      if (kind === "final" && final !== undefined && reception !== undefined) await this.#complete(reception, final);
      const end = this.#endOf(migration);
      const messages = await this.#carryOut(
        { from, migration, domain: domain ?? "" },
        hearSource(end, { kind, migration }),
      );
      return { ...this.#describe(migration), messages };
    });
  }

  /** What there is to say to the source. */
  async listen(from: string, migration: MigrationId): Promise<TargetAnswer> {
    const incoming = this.#findIncoming(from, migration);
    if (incoming === undefined) return this.#describe(migration);
    return await this.#context.host.queues.run(incoming.domain, async () => {
      const messages = await this.#carryOut(incoming, remindSource(this.#endOf(migration), migration));
      return { ...this.#describe(migration), messages };
    });
  }

  /** After a restart of Xenod, in the domain's queue. `domain`: where there is a guest. Returns whether it is settled with this. */
  async settle(record: DomainRecord, domain: Domain | undefined): Promise<boolean> {
    const { host, ends } = this.#context;
    if (record.operation?.kind !== "receive") return false;
    const { migration, from } = record.operation;
    const incoming = ends.findIncoming(migration);
    if (incoming?.saved.state === "prepared" && (await domain?.state()) === "paused") {
      const isWhole = await host.fileServer.putExport(record.name, describeExport(host, record), this.#ending).then(
        () => true,
        (error) => void host.log.error({ domain: record.name, err: error }, "what was received cannot be served"),
      );
      const reception: Reception = { incoming, platform: "", ended: new AbortController(), isWhole: false };
      this.#receptions.set(migration, reception);
      this.#hold(reception, domain!);
      reception.isWhole = isWhole === true;
    } else if (domain !== undefined) host.domains.set(record.name, domain);
    const of = { from, migration, domain: record.name };
    await this.#carryOut(of, restartTarget(this.#endOf(migration), migration));
    return host.records.find(record.name) === undefined || record.operation !== undefined;
  }

  /** An operator's word, of a reception that is prepared: it is ours, or it never will be. */
  async resolve(record: DomainRecord, runs: boolean): Promise<void> {
    if (record.operation?.kind !== "receive") return;
    const { migration, from } = record.operation;
    const { saved } = this.#endOf(migration);
    if (saved.state !== "prepared")
      throw new XenoError("migration-not-in-doubt", `domain ${record.name} is still on its way here from ${from}`, {
        hint: "wait, or call its migration off there",
      });
    const kind = runs ? "go" : "abort";
    const end = runs ? this.#endOf(migration) : { saved, isWhole: false };
    const actions = runs ? hearSource(end, { kind, migration }) : remindSource(end, migration);
    await this.#carryOut({ from, migration, domain: record.name }, actions);
  }

  isPrepared(migration: MigrationId): boolean {
    return this.#endOf(migration).saved.state === "prepared";
  }

  /** Who sends it is told why there will be nothing. */
  async abandon(record: DomainRecord): Promise<void> {
    if (record.operation?.kind !== "receive") return;
    const reception = this.#receptions.get(record.operation.migration);
    if (reception !== undefined) reception.failure ??= describeError(calledOff(record.name));
    await this.#discard(record.operation.migration, record.name);
  }

  /** In the domain's queue: all that was sent is put together, and ready to run. What speaks against it is the reception's failure. */
  async #complete(reception: Reception, final: FinalState): Promise<void> {
    const { host } = this.#context;
    const { incoming } = reception;
    const record = findReceiving(host, incoming.migration, incoming.domain);
    if (reception.isWhole || record === undefined || reception.failure !== undefined) return;
    clearTimeout(reception.idle);
    try {
      if (reception.memory === undefined) throw new XenoError("reception-failed", "no memory was sent");
      await completeJournal(host.records.journalOf(record), final.files);
      record.bootEpoch = final.bootEpoch;
      record.cutPorts = final.guestPorts;
      await host.records.save(record);
      await host.fileServer.putExport(record.name, describeExport(host, record), this.#ending);
      await inTime(reception.memory, memoryMs);
      if (reception.failure !== undefined) return;
      reception.isWhole = host.domains.has(record.name);
      await host.onStep?.(record.name, "receive whole");
    } catch (error) {
      host.log.warn({ domain: record.name, err: error }, "what was received is not whole");
      reception.failure = describeError(error);
      await this.#discard(incoming.migration, incoming.domain);
    }
  }

  /** `domain`: empty where nothing is known of the migration. */
  async #carryOut(
    { from, migration, domain }: Pick<IncomingMigration, "from" | "migration" | "domain">,
    actions: readonly TargetAction[],
  ): Promise<TargetMessage[]> {
    const { host, ends } = this.#context;
    const messages: TargetMessage[] = [];
    const record = findReceiving(host, migration, domain);
    for (const action of actions) {
      if (action.kind === "send") messages.push(action.message);
      else if (action.kind === "run") await this.#run(migration, record);
      else if (action.kind === "discard") await this.#discard(migration, domain);
      else {
        const { state } = action.state;
        const created = Date.now();
        const fresh = { format: 1, side: "target", migration, domain, created, from, saved: action.state } as const;
        const known = ends.findIncoming(migration) ?? this.#receptions.get(migration)?.incoming ?? { ...fresh };
        if (state === "unknown") await ends.forget(migration);
        else await ends.save(known, action.state);
        if (state === "unknown") this.#receptions.delete(migration);
        if (state === "prepared" && record !== undefined) {
          record.reason = `${record.operation?.kind === "receive" ? record.operation.from : "its source"} has it until it says otherwise`;
          await host.records.save(record);
        }
        await host.onStep?.(domain, `receive ${state}`);
      }
    }
    return messages;
  }

  /** (I3) */
  async #run(migration: MigrationId, record: DomainRecord | undefined): Promise<void> {
    const { host } = this.#context;
    const domain = this.#receptions.get(migration)?.domain ?? host.domains.get(record?.name ?? "");
    this.#receptions.delete(migration);
    if (record === undefined) return;
    const { name } = record;
    record.operation = undefined;
    record.reason = undefined;
    record.state = "running";
    record.hostBoot = await readBootId();
    // It is ours, whatever the disk says now: found again, it is settled the same way.
    const save = () =>
      host.records.save(record).catch((error) => host.log.error({ domain: name, err: error }, "it is not noted so"));
    await save();
    // Where the guest is gone, whoever settles domains sees it: it is as after any crash.
    if (domain === undefined) return;
    followDomain(host, record, domain);
    await domain.unpause();
    await tellGuest(host, record, record.cutPorts ?? []);
    record.cutPorts = undefined;
    await save();
    await host.onStep?.(name, "receive running");
  }

  /** (I2) */
  async #discard(migration: MigrationId, domain: string): Promise<void> {
    const reception = this.#receptions.get(migration);
    clearTimeout(reception?.idle);
    reception?.ended.abort(calledOff(domain));
    if (reception !== undefined) reception.isWhole = false;
    await discardReceived(this.#context.host, migration, domain);
    // It is told why as long as this Xenod lives, and the source may ask.
    if (reception?.failure === undefined) this.#receptions.delete(migration);
  }

  async #giveUp({ incoming }: Reception): Promise<void> {
    const { host } = this.#context;
    await host.queues.run(incoming.domain, async () => {
      if (this.#endOf(incoming.migration).saved.state !== "unknown") return;
      await this.#discard(incoming.migration, incoming.domain);
    });
  }

  /** A guest that is here, paused: it counts as long as its hypervisor's process lives. */
  #hold(reception: Reception, domain: Domain): void {
    const { host } = this.#context;
    host.domains.set(domain.name, domain);
    reception.domain = domain;
    domain
      .ended()
      .then(() => {
        reception.isWhole = false;
        reception.failure ??= describeError(
          new XenoError("guest-ended", `what was received of ${domain.name} has ended`),
        );
        if (host.domains.get(domain.name) === domain) host.domains.delete(domain.name);
      })
      .catch(() => {});
  }

  #remember(reception: Reception): void {
    this.#receptions.set(reception.incoming.migration, reception);
    this.#touch(reception);
    // What failed is remembered for its source, not for ever.
    for (const [migration, { failure }] of this.#receptions) {
      if (this.#receptions.size <= maxReceptions) return;
      if (failure !== undefined) this.#receptions.delete(migration);
    }
  }

  /** (I4) */
  #touch(reception: Reception): void {
    clearTimeout(reception.idle);
    reception.idle = setTimeout(() => {
      reception.failure ??= describeError(
        new XenoError("reception-failed", `nothing more came of domain ${reception.incoming.domain}`),
      );
      void this.#giveUp(reception);
    }, idleMs);
  }

  #requireUnknown({ incoming, failure }: Reception): DomainRecord {
    if (failure !== undefined) throw new XenoError(failure.code, failure.message, { hint: failure.hint });
    const record = findReceiving(this.#context.host, incoming.migration, incoming.domain);
    if (record !== undefined && this.#endOf(incoming.migration).saved.state === "unknown") return record;
    throw unknownReceptionError(incoming.migration);
  }

  #endOf(migration: MigrationId) {
    const saved = this.#context.ends.findIncoming(migration)?.saved ?? ({ state: "unknown" } as const);
    return { saved, isWhole: this.#receptions.get(migration)?.isWhole ?? false };
  }

  #find(from: string, migration: MigrationId): Reception {
    const reception = this.#receptions.get(migration);
    if (reception?.incoming.from === from) return reception;
    throw unknownReceptionError(migration);
  }

  /** A source sees its own only. */
  #findIncoming(from: string, migration: MigrationId): IncomingMigration | undefined {
    const incoming = this.#context.ends.findIncoming(migration) ?? this.#receptions.get(migration)?.incoming;
    return incoming?.from === from ? incoming : undefined;
  }

  #describe(migration: MigrationId): TargetAnswer {
    const { saved } = this.#endOf(migration);
    const reception = this.#receptions.get(migration);
    const isReceiving = reception !== undefined && reception.failure === undefined && saved.state === "unknown";
    const isSettled = (saved.state === "unknown" && !isReceiving) || (saved.state === "owned" && saved.isTold);
    const problem = saved.state === "unknown" ? reception?.failure : undefined;
    return { state: saved.state, isSettled, messages: [], ...(problem && { problem }) };
  }
}

async function admitOffer(
  host: Host,
  from: string,
  migration: MigrationId,
  offer: MigrationOffer,
): Promise<DomainRecord> {
  const { domain: name, deployment, task, overlayTree, kernelTree, guestAddress, restarts, steps } = offer;
  host.draining.refuse();
  const memory = await host.hypervisor.memory?.();
  const all = host.records.list();
  if (all.length >= maxDomains)
    throw new XenoError("domains-full", `this XenoServer keeps ${maxDomains} domains`, { hint: "remove some" });
  chooseName({ ...deployment, name }, (candidate) => host.records.find(candidate) !== undefined);
  admit(deployment, all, memory);
  const up = all.filter(({ state }) => isUp(state));
  admitPorts(deployment, host.ports, up);
  const address = host.pool?.choose((candidate) => all.some((record) => record.address === candidate), guestAddress);
  return {
    ...{ format: 1, name, deployment, task, overlayTree, kernelTree, restarts, steps, address },
    ...{ intent: "running", state: "receiving", link: true, exported: true },
    operation: { kind: "receive", migration, from },
    guestAddress: guestAddress === address ? undefined : guestAddress,
  };
}

/** The domain that a migration brings, as long as that is its operation (I2). */
function findReceiving(host: Host, migration: MigrationId, domain: string): DomainRecord | undefined {
  const record = host.records.find(domain);
  const { operation } = record ?? {};
  return operation?.kind === "receive" && operation.migration === migration ? record : undefined;
}

/** (I2) */
async function discardReceived(host: Host, migration: MigrationId, name: string): Promise<void> {
  const record = findReceiving(host, migration, name);
  if (record === undefined) return;
  await host.domains.get(name)?.destroy();
  host.domains.delete(name);
  await releaseResources(host, record);
  await host.records.remove(name);
}

function calledOff(domain: string): XenoError {
  return new XenoError("reception-failed", `the reception of domain ${domain} was given up`, {
    hint: "it goes on where it was",
  });
}

function unknownReceptionError(migration: MigrationId): XenoError {
  return new XenoError("reception-unknown", `nothing is being received under ${migration}`, {
    hint: "the XenoServer was restarted, or gave it up: migrate again",
  });
}

function unknownReception(migration: MigrationId): ErrorBody {
  return describeError(unknownReceptionError(migration));
}

async function inTime(promise: Promise<void>, ms: number): Promise<void> {
  const late = new XenoError("reception-failed", `the guest's memory was not taken within ${ms / 1000} s`);
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(late), ms);
  });
  await Promise.race([promise, deadline]).finally(() => clearTimeout(timer));
}
