/**
 * The target's end of migrations, carried out: what the protocol (migration/protocol/target.ts) says is done to what was
 * received (domain-receiver.ts), until its guest runs here, or nothing of it is left.
 *
 * - (I1) What is saved is in the migration's file first (E1); until that says `prepared`, whoever finds the domain takes all of it
 *   back, and nobody misses it.
 * - (I3) No instruction of the guest runs here before `owned` is saved (H3 in hypervisor.ts, H6).
 *
 * (I2) and (I4) are in receptions.ts.
 */
import { XenoError } from "../../../cowfs/errors.ts";
import { describeError } from "../../http/json-server.ts";
import type { Domain } from "../../hypervisors/hypervisor.ts";
import type { IncomingMigration } from "../../migration/ends/migration-ends.ts";
import type { JournalEnd, SourceSays, TargetAnswer } from "../../migration/peers/messages.ts";
import type { MigrationId, TargetMessage } from "../../migration/protocol/messages.ts";
import { hearSource, remindSource, restartTarget, type TargetAction } from "../../migration/protocol/target.ts";
import { readBootId } from "../../processes.ts";
import type { DomainRecord } from "../domain-record.ts";
import { followDomain } from "../follow-domain.ts";
import { describeExport } from "../host.ts";
import { tellGuest } from "../suspend-domain.ts";
import type { MigrationContext } from "./context.ts";
import { DomainReceiver } from "./domain-receiver.ts";
import { calledOff, findReceiving, type Reception, Receptions, unknownReception } from "./receptions.ts";

export type ReceiveStep = "accepted" | "memory received" | "whole" | "prepared" | "owned" | "running" | "refused";

export class TargetEnd {
  readonly receiver: DomainReceiver;
  readonly #context: MigrationContext;
  readonly #ending: AbortSignal;
  readonly #receptions: Receptions;

  constructor(context: MigrationContext, ending: AbortSignal) {
    this.#context = context;
    this.#ending = ending;
    this.#receptions = new Receptions(context, ending);
    this.receiver = new DomainReceiver(context, this.#receptions, ending);
  }

  /**
   * The guest is stopped at its source and all of its journal is here with this: it is opened while the rest of its memory comes.
   * Nothing is decided by that: `final` says the same again. Throws `reception-unknown`, or why it cannot be.
   */
  async endJournal(from: string, migration: MigrationId, { final, small }: JournalEnd): Promise<void> {
    const reception = this.#receptions.find(from, migration);
    await this.#context.host.queues.run(reception.incoming.domain, async () => {
      this.#receptions.requireUnknown(reception);
      await this.receiver.takeSmallFiles(reception, small);
      await this.receiver.openRoot(reception, final);
      this.#receptions.requireUnknown(reception);
    });
  }

  /** Hears what the source says, and answers. */
  async hear(from: string, migration: MigrationId, says: SourceSays): Promise<TargetAnswer> {
    const { kind, final } = says;
    const { domain } = this.#findIncoming(from, migration) ?? {};
    if (domain === undefined && kind !== "go")
      return { ...this.#describe(migration), problem: describeError(unknownReception(migration)) };
    return await this.#context.host.queues.run(domain ?? `migration ${migration}`, async () => {
      const reception = this.#receptions.get(migration);
      if (kind === "final" && final !== undefined && reception !== undefined)
        await this.receiver.complete(reception, final);
      const end = this.#receptions.endOf(migration);
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
      const messages = await this.#carryOut(incoming, remindSource(this.#receptions.endOf(migration), migration));
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
      noteWaiting(record, from);
      const reception: Reception = { incoming, platform: "", ended: new AbortController(), isWhole: false };
      this.#receptions.takeUp(reception);
      this.#receptions.hold(reception, domain!);
      reception.isWhole = isWhole === true;
    } else if (domain !== undefined) host.domains.set(record.name, domain);
    const of = { from, migration, domain: record.name };
    await this.#carryOut(of, restartTarget(this.#receptions.endOf(migration), migration));
    return host.records.find(record.name) === undefined || record.operation !== undefined;
  }

  /** An operator's word, of a reception that is prepared: it is ours, or it never will be. */
  async resolve(record: DomainRecord, runs: boolean): Promise<void> {
    if (record.operation?.kind !== "receive") return;
    const { migration, from } = record.operation;
    const { saved } = this.#receptions.endOf(migration);
    if (saved.state !== "prepared")
      throw new XenoError("migration-not-in-doubt", `domain ${record.name} is still on its way here from ${from}`, {
        hint: "wait, or call its migration off there",
      });
    const kind = runs ? "go" : "abort";
    const end = runs ? this.#receptions.endOf(migration) : { saved, isWhole: false };
    const actions = runs ? hearSource(end, { kind, migration }) : remindSource(end, migration);
    await this.#carryOut({ from, migration, domain: record.name }, actions);
  }

  isPrepared(migration: MigrationId): boolean {
    return this.#receptions.endOf(migration).saved.state === "prepared";
  }

  /** Who sends it is told why there will be nothing. */
  async abandon(record: DomainRecord): Promise<void> {
    if (record.operation?.kind !== "receive") return;
    const reception = this.#receptions.get(record.operation.migration);
    if (reception !== undefined) reception.failure ??= describeError(calledOff(record.name));
    await this.#receptions.discard(record.operation.migration, record.name);
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
      else if (action.kind === "discard") await this.#receptions.discard(migration, domain);
      else {
        const { state } = action.state;
        const created = Date.now();
        const fresh = { format: 1, side: "target", migration, domain, created, from, saved: action.state } as const;
        const known = ends.findIncoming(migration) ?? this.#receptions.get(migration)?.incoming ?? { ...fresh };
        if (state === "unknown") await ends.forget(migration);
        else await ends.save(known, action.state);
        if (state === "unknown") this.#receptions.forget(migration);
        if (state === "prepared" && record !== undefined) noteWaiting(record, from);
        await host.onStep?.(domain, `receive ${state}`);
      }
    }
    return messages;
  }

  /** (I3) */
  async #run(migration: MigrationId, record: DomainRecord | undefined): Promise<void> {
    const { host } = this.#context;
    const domain = this.#receptions.get(migration)?.domain ?? host.domains.get(record?.name ?? "");
    this.#receptions.forget(migration);
    if (record === undefined) return;
    const { name } = record;
    record.operation = undefined;
    record.reason = undefined;
    record.state = "running";
    record.hostBoot = await readBootId();
    // It is ours, whatever the disk says now: found again, it is settled the same way.
    const save = () =>
      host.records.save(record).catch((error) => host.log.error({ domain: name, err: error }, "it is not noted so"));
    // Where the guest is gone, whoever settles domains sees it: it is as after any crash.
    if (domain === undefined) return await save();
    followDomain(host, record, domain);
    try {
      // It stands still: what can wait, waits.
      if ((await domain.state()) === "paused") await domain.unpause();
    } finally {
      await save();
    }
    await tellGuest(host, record, record.cutPorts ?? []);
    record.cutPorts = undefined;
    await save();
    await host.onStep?.(name, "receive running");
  }

  /** A source sees its own only. */
  #findIncoming(from: string, migration: MigrationId): IncomingMigration | undefined {
    const incoming = this.#context.ends.findIncoming(migration) ?? this.#receptions.get(migration)?.incoming;
    return incoming?.from === from ? incoming : undefined;
  }

  #describe(migration: MigrationId): TargetAnswer {
    const { saved } = this.#receptions.endOf(migration);
    const reception = this.#receptions.get(migration);
    const isReceiving = reception !== undefined && reception.failure === undefined && saved.state === "unknown";
    const isSettled = (saved.state === "unknown" && !isReceiving) || (saved.state === "owned" && saved.isTold);
    const problem = saved.state === "unknown" ? reception?.failure : undefined;
    return { state: saved.state, isSettled, messages: [], ...(problem && { problem }) };
  }
}

/** Shown of a domain that is prepared; whoever finds it so after a restart notes it again. */
function noteWaiting(record: DomainRecord, from: string): void {
  record.reason = `${from} has it until it says otherwise`;
}
