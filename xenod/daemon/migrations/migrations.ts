/**
 * Migrations from request to end: a task that goes on by itself, who reminds targets of what they have not answered, and the
 * operator's word where nobody will.
 */
import { setTimeout as delay } from "node:timers/promises";
import { XenoError } from "../../../cowfs/errors.ts";
import type { Domain } from "../../hypervisors/hypervisor.ts";
import type { OutgoingMigration } from "../../migration/ends/migration-ends.ts";
import { TargetClient } from "../../migration/peers/target-client.ts";
import type { DomainRecord } from "../domain-record.ts";
import type { Task, TaskList } from "../task-list.ts";
import type { MigrationContext } from "./context.ts";
import { concludeMigration, type MigrationRequest, sendDomain } from "./send-domain.ts";
import { resolveSource, SourceEnd, settleSource } from "./source-end.ts";
import { TargetEnd } from "./target-end.ts";

const firstPauseMs = 1_000;
const maxPauseMs = 30_000;

export class Migrations {
  readonly target: TargetEnd;
  readonly #context: MigrationContext;
  readonly #tasks: TaskList;
  readonly #ending: AbortSignal;
  #reminding: Promise<void> | undefined;
  #wake: AbortController | undefined;

  constructor(context: MigrationContext, tasks: TaskList, ending: AbortSignal) {
    this.#context = context;
    this.#tasks = tasks;
    this.#ending = ending;
    this.target = new TargetEnd(context, ending);
  }

  /** After a restart of Xenod, in the domain's queue. Returns whether the domain is settled by this. */
  async settle(record: DomainRecord, domain: Domain | undefined): Promise<boolean> {
    if (record.operation?.kind === "receive") return await this.target.settle(record, domain);
    return await settleSource(this.#context, record, domain);
  }

  /** Moves a running domain. Throws `migration-invalid`; the task fails with what keeps it here. */
  async migrate(name: string, request: MigrationRequest): Promise<Task> {
    const { to } = request;
    const { host } = this.#context;
    host.records.get(name);
    const { publicKey } = await this.#context.identity();
    if (to.publicKey === publicKey)
      throw new XenoError("migration-invalid", `domain ${name} is on ${host.name} already`, {
        hint: "name another XenoServer",
      });
    return await this.#tasks.start({ kind: "migrate", domain: name }, async ({ step, signal }) => {
      const onStep = async (reached: string) => {
        step(reached);
        await host.onStep?.(name, `migrate ${reached}`);
      };
      const either = AbortSignal.any([signal, this.#ending]);
      try {
        await host.queues.run(name, () => sendDomain(this.#context, host.records.get(name), request, onStep, either));
      } finally {
        this.remind();
      }
      return { domain: name, to: to.name };
    });
  }

  /** Has a migration given up, unless it has moved. */
  callOff(name: string): void {
    const underWay = this.#tasks.findRunning("migrate", name);
    if (underWay !== undefined) this.#tasks.cancel(underWay.id);
  }

  /**
   * The operator's word on a domain in doubt: it runs here, or what is here of it goes. Throws `migration-not-in-doubt`.
   * Whoever says the same at both ends, or contradicts what the other end has done, has it twice or not at all.
   */
  async resolve(name: string, runs: boolean): Promise<void> {
    const { host } = this.#context;
    await host.queues.run(name, async () => {
      const record = host.records.get(name);
      if (record.operation?.kind === "receive") await this.target.resolve(record, runs);
      else await resolveSource(this.#context, record, runs);
    });
    this.remind();
  }

  /** Throws `domain-in-doubt` for a domain of which nobody knows yet whose it is. */
  requireSettled(name: string): void {
    const { operation, state } = this.#context.host.records.get(name);
    const isPrepared = operation?.kind === "receive" && this.target.isPrepared(operation.migration);
    if (state !== "moved" && !isPrepared) return;
    const other = operation?.kind === "migrate" ? operation.to : operation?.kind === "receive" ? operation.from : "";
    throw new XenoError("domain-in-doubt", `domain ${name} is in the middle of its move between here and ${other}`, {
      hint: `it is settled as soon as both can talk; if they never will: xeno migrate resolve --help`,
    });
  }

  /** Sees to every migration that is not concluded, as long as there is one. */
  remind(): void {
    this.#wake?.abort();
    this.#reminding ??= this.#remindAll().finally(() => {
      this.#reminding = undefined;
    });
  }

  /** Settles when nobody is reminded any more. */
  async idle(): Promise<void> {
    await this.#reminding;
  }

  async #remindAll(): Promise<void> {
    const { ends } = this.#context;
    for (let pauseMs = firstPauseMs; !this.#ending.aborted; pauseMs = Math.min(maxPauseMs, pauseMs * 2)) {
      const open = ends.listOutgoing().filter(({ domain }) => this.#tasks.findRunning("migrate", domain) === undefined);
      for (const outgoing of open) await this.#remindOne(outgoing);
      if (ends.listOutgoing().length === 0) return;
      const wake = new AbortController();
      this.#wake = wake;
      await delay(pauseMs, undefined, { signal: AbortSignal.any([this.#ending, wake.signal]) }).catch(() => {});
      if (wake.signal.aborted) pauseMs = firstPauseMs;
    }
  }

  async #remindOne(outgoing: OutgoingMigration): Promise<void> {
    const { host, identity } = this.#context;
    const target = new TargetClient(host.name, outgoing.to, await identity());
    try {
      const onStep = (step: string) => host.onStep?.(outgoing.domain, `migrate ${step}`);
      await host.queues.run(outgoing.domain, async () => {
        const end = new SourceEnd(this.#context, outgoing, target, onStep);
        await end.resume();
        await concludeMigration(this.#context, end);
      });
    } catch (error) {
      host.log.warn({ domain: outgoing.domain, err: error }, "a migration is not settled");
    } finally {
      await target.close();
    }
  }
}
