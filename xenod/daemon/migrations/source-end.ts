/**
 * The source's end of a migration, carried out: what the protocol (migration/protocol/source.ts) says is done to this
 * XenoServer's domain, in the domain's queue.
 *
 * - (O1) What is saved is in the migration's file first (E1), then in the domain's record: `moved` there means stopped here,
 *   and kept. Found cut off between the two, the file decides (`settleSource`).
 * - (O2) Sending is the last of each answer, and may fail: the message is lost then, and the protocol expects that.
 */
import { XenoError } from "../../../cowfs/errors.ts";
import type { Domain } from "../../hypervisors/hypervisor.ts";
import type { OutgoingMigration } from "../../migration/ends/migration-ends.ts";
import { sweepSending } from "../../migration/journal/send-journal.ts";
import type { FinalState, TargetAnswer } from "../../migration/peers/messages.ts";
import type { TargetClient } from "../../migration/peers/target-client.ts";
import type { SourceMessage, TargetMessage } from "../../migration/protocol/messages.ts";
import {
  hearTarget,
  remindTarget,
  restartSource,
  type SourceAction,
  type SourceAnswer,
  type SourceProgress,
} from "../../migration/protocol/source.ts";
import type { DomainRecord } from "../domain-record.ts";
import { removeDomain } from "../end-domain.ts";
import { followDomain } from "../follow-domain.ts";
import { describeExport, type Host, releaseResources } from "../host.ts";
import { tellGuest } from "../suspend-domain.ts";
import type { MigrationContext } from "./context.ts";

/** What is done of a hand-over, each time when it is done: tests end the process there. */
export type HandOverStep = "moved" | "here again" | "gone" | "discarded" | "forgotten";

export class SourceEnd {
  readonly outgoing: OutgoingMigration;
  progress: SourceProgress | undefined;
  final: FinalState | undefined;
  /** Why the target is not prepared, as it last said. */
  problem: TargetAnswer["problem"];
  /** Why the last message did not arrive. */
  silence: unknown;
  /** Settles when the domain's record has what was last saved of its move. */
  #noting: Promise<void> = Promise.resolve();
  readonly #context: MigrationContext;
  readonly #target: TargetClient;
  readonly #onStep: (step: HandOverStep) => void | Promise<void>;

  constructor(
    context: MigrationContext,
    outgoing: OutgoingMigration,
    target: TargetClient,
    onStep: (step: HandOverStep) => void | Promise<void> = () => {},
  ) {
    this.#context = context;
    this.outgoing = outgoing;
    this.#target = target;
    this.#onStep = onStep;
  }

  /** Carries an answer out, and what follows from what the target says to it. */
  async carryOut(first: SourceAnswer): Promise<void> {
    const heard: TargetMessage[] = [];
    for (let answer: SourceAnswer | undefined = first; answer !== undefined; ) {
      const before = this.progress;
      this.progress = answer.progress;
      for (const action of answer.actions) {
        try {
          heard.push(...(await this.#perform(action)));
        } catch (error) {
          // What cannot be saved has not happened.
          if (action.kind === "save") this.progress = before;
          throw error;
        }
      }
      await this.#noting;
      const next = heard.shift();
      answer = next && hearTarget(this.#end, next);
    }
  }

  /** As after a restart: what was to be done here and failed is done, what was not answered is said again. */
  async resume(): Promise<void> {
    if (findMoving(this.#context.host, this.outgoing) !== undefined)
      await this.carryOut(restartSource(this.outgoing.saved));
  }

  /** Says again what was not answered, and hears what the target has to say. Returns whether nothing is left to be said. */
  async remind(): Promise<boolean> {
    const { saved, progress } = this.#end;
    // (H3) Given up, and the target may wait for what does not come.
    const isGivenUp = saved.state === "here" && progress === undefined;
    const abort = { kind: "send", message: { kind: "abort", migration: this.outgoing.migration } } as const;
    await this.carryOut(isGivenUp ? { actions: [abort] } : remindTarget({ saved, progress }));
    const answer = await this.#hear(() => this.#target.listen(this.outgoing.migration));
    if (answer === undefined) return false;
    for (const message of answer.messages) await this.carryOut(hearTarget(this.#end, message));
    return answer.isSettled && this.outgoing.saved.state !== "moved" && this.progress === undefined;
  }

  get #end() {
    return { saved: this.outgoing.saved, progress: this.progress };
  }

  async #perform(action: SourceAction): Promise<readonly TargetMessage[]> {
    const { host, ends } = this.#context;
    if (action.kind !== "send") await this.#noting;
    const { outgoing } = this;
    const record = findMoving(host, outgoing);
    switch (action.kind) {
      case "save":
        await ends.save(outgoing, action.state);
        if (action.state.state === "moved" && record !== undefined) {
          noteMoved(record, outgoing);
          // The target need not wait for that: the file decides (O1).
          this.#noting = host.records
            .save(record)
            .catch((error) => host.log.error({ err: error }, "it is not noted so"));
        }
        if (action.state.state !== "here") await this.#onStep(action.state.state);
        return [];
      case "run":
        if (record !== undefined) await runHere(host, record);
        await this.#onStep("here again");
        return [];
      case "discard":
        if (record !== undefined) await discardHere(host, record);
        await this.#onStep("discarded");
        return [];
      case "send":
        return await this.#say(action.message);
    }
  }

  async #say(message: SourceMessage): Promise<readonly TargetMessage[]> {
    const answer = await this.#hear(() => this.#target.say(message, this.final));
    if (answer !== undefined && message.kind === "forget") await this.#onStep("forgotten");
    this.problem = answer?.problem;
    return answer?.messages ?? [];
  }

  /** (O2) */
  async #hear(ask: () => Promise<TargetAnswer>): Promise<TargetAnswer | undefined> {
    try {
      const answer = await ask();
      this.silence = undefined;
      return answer;
    } catch (error) {
      this.silence = error;
      return undefined;
    }
  }
}

/** The domain that a migration is of, as long as it is its operation. */
export function findMoving(host: Host, { domain, migration }: OutgoingMigration): DomainRecord | undefined {
  const record = host.records.find(domain);
  const { operation } = record ?? {};
  return operation?.kind === "migrate" && operation.migration === migration ? record : undefined;
}

/** After a restart of Xenod (O1), in the domain's queue. `domain`: where its guest is still there. */
export async function settleSource(
  { host, ends }: MigrationContext,
  record: DomainRecord,
  domain: Domain | undefined,
): Promise<boolean> {
  if (record.operation?.kind !== "migrate") return false;
  host.log.info({ domain: record.name, operation: record.operation }, "settling a migration that was cut off");
  if (domain !== undefined) followDomain(host, record, domain);
  const outgoing = ends.findOutgoing(record.operation.migration);
  const saved = outgoing?.saved ?? { state: "here" };
  // A host that was restarted has no link, and no guest that would need one.
  if (domain !== undefined) await host.fileServer.putExport(record.name, describeExport(host, record));
  // What is to be said, whoever reminds says.
  for (const action of restartSource(saved).actions) {
    if (action.kind === "run") await runHere(host, record);
    if (action.kind === "discard") await discardHere(host, record);
  }
  if (saved.state === "moved") {
    noteMoved(record, outgoing!);
    await host.records.save(record);
  }
  return true;
}

/** An operator's word: the target will never run it, or runs it. Throws `migration-not-in-doubt`. */
export async function resolveSource(
  { host, ends }: MigrationContext,
  record: DomainRecord,
  runs: boolean,
): Promise<void> {
  const { operation } = record;
  const outgoing = operation?.kind === "migrate" ? ends.findOutgoing(operation.migration) : undefined;
  if (outgoing?.saved.state !== "moved")
    throw new XenoError("migration-not-in-doubt", `domain ${record.name} is ${record.state}, and not in doubt`, {
      hint: "only what was given away, or is prepared, and not answered can be resolved",
    });
  if (runs) {
    await ends.save(outgoing, { state: "here" });
    return await runHere(host, record);
  }
  await ends.save(outgoing, { state: "gone", migration: outgoing.migration });
  await discardHere(host, record);
}

/** Where the sender keeps what it sends. */
export function placeOfSending(host: Host, record: DomainRecord): string {
  return `${host.records.directoryOf(record.name)}/outgoing`;
}

function noteMoved(record: DomainRecord, { to }: OutgoingMigration): void {
  record.state = "moved";
  record.reason = `it was given to ${to.name}, which has not said that it took it: it is stopped here, and kept`;
}

/**
 * The guest goes on where it is paused; where it is gone, it has crashed. A record that cannot be saved does not keep it from
 * running: found again, the domain is settled the same way.
 */
async function runHere(host: Host, record: DomainRecord): Promise<void> {
  const { records, fileServer, log } = host;
  const { name } = record;
  const domain = host.domains.get(name);
  const state = await domain?.state().catch(() => undefined);
  if (domain !== undefined && (state === "running" || state === "paused")) {
    const { state: exported } = await fileServer.getExport(name);
    // What is being opened again, after its worker died, may be held too.
    const cut = exported === "serving" ? undefined : await fileServer.holdExport(name);
    if (cut !== undefined) await fileServer.serveExport(name);
    if (state === "paused") await domain.unpause();
    if (cut !== undefined) await tellGuest(host, record, cut.guestPorts);
    record.state = "running";
    record.reason = undefined;
  } else {
    // Its end was not noted while it was stopped.
    await domain?.destroy();
    host.domains.delete(name);
    await releaseResources(host, record);
    record.state = "crashed";
    record.endedBy = "crash";
    record.reason = "its guest was gone when it was to go on here";
    record.ended = Date.now();
  }
  record.operation = undefined;
  await records.save(record).catch((error) => log.error({ domain: name, err: error }, "it runs, and is not noted so"));
  await sweepSending(fileServer, records.journalOf(record), placeOfSending(host, record)).catch((error) =>
    log.warn({ domain: name, err: error }, "what its move took of the disk was not given back"),
  );
  if (record.state === "crashed") host.onEnd(record);
}

async function discardHere(host: Host, record: DomainRecord): Promise<void> {
  const withoutGrace = 0;
  await removeDomain(host, record, withoutGrace, AbortSignal.timeout(60_000));
}

/** What is told of a hand-over that the target has not answered. */
export function inDoubt({ domain, to }: OutgoingMigration, cause: unknown): XenoError {
  const reason = (cause as Error | undefined)?.message ?? "it does not answer";
  return new XenoError(
    "migration-in-doubt",
    `domain ${domain} was given to ${to.name}, which has not said that it took it: ${reason}`,
    {
      hint: `it is stopped here until ${to.name} answers; if it never will: xeno migrate resolve --help`,
      cause,
    },
  );
}
