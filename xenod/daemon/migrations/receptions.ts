/**
 * What is on its way here, and what came of it so far. It is in memory: after a restart of Xenod only what was prepared is taken
 * up again (target-end.ts), and the rest is thrown away.
 *
 * - (I2) Only what is the reception's own is thrown away: the domain whose operation is this migration. A domain that runs
 *   here has none.
 * - (I4) A reception that nobody feeds any more is given up, unless it is prepared.
 */
import { XenoError } from "../../../cowfs/errors.ts";
import { describeError, type ErrorBody } from "../../http/json-server.ts";
import type { Domain, DomainSpecification } from "../../hypervisors/hypervisor.ts";
import type { IncomingMigration } from "../../migration/ends/migration-ends.ts";
import type { MigrationId } from "../../migration/protocol/messages.ts";
import type { DomainRecord } from "../domain-record.ts";
import { type Host, releaseResources } from "../host.ts";
import type { MigrationContext } from "./context.ts";
import type { MemoryArrival } from "./memory-arrival.ts";

export interface Reception {
  readonly incoming: IncomingMigration;
  readonly specification?: DomainSpecification;
  readonly platform: string;
  readonly ended: AbortController;
  readonly arrival?: MemoryArrival;
  /** Settles when its memory is here, or is not to be: then `failure` says why. */
  memory?: Promise<void>;
  /** Its journal is complete, and its root open. */
  isRootOpen?: boolean;
  domain?: Domain;
  /** All that was sent is here, paused and ready to run. */
  isWhole: boolean;
  failure?: ErrorBody;
  idle?: NodeJS.Timeout;
}

/** (I4) A source that is slow sends a file at least in that time. */
const idleMs = 120_000;
const maxReceptions = 32;

export class Receptions {
  readonly #context: MigrationContext;
  readonly #receptions = new Map<MigrationId, Reception>();

  constructor(context: MigrationContext, ending: AbortSignal) {
    this.#context = context;
    ending.addEventListener("abort", () => {
      for (const { idle } of this.#receptions.values()) clearTimeout(idle);
    });
  }

  /** Throws `receptions-full`. */
  requireRoom(): void {
    if (this.#receptions.size < maxReceptions) return;
    throw new XenoError("receptions-full", `${maxReceptions} domains are on their way here`, { hint: "wait" });
  }

  /** One that is fed from now on. */
  add(reception: Reception): void {
    this.#receptions.set(reception.incoming.migration, reception);
    this.touch(reception);
    // What failed is remembered for its source, not for ever.
    for (const [migration, { failure }] of this.#receptions) {
      if (this.#receptions.size <= maxReceptions) return;
      if (failure !== undefined) this.#receptions.delete(migration);
    }
  }

  /** One that was prepared in an earlier life of Xenod: nothing more comes of it. */
  takeUp(reception: Reception): void {
    this.#receptions.set(reception.incoming.migration, reception);
  }

  get(migration: MigrationId): Reception | undefined {
    return this.#receptions.get(migration);
  }

  /** A source sees its own only. Throws `reception-unknown`. */
  find(from: string, migration: MigrationId): Reception {
    const reception = this.#receptions.get(migration);
    if (reception?.incoming.from === from) return reception;
    throw unknownReception(migration);
  }

  forget(migration: MigrationId): void {
    this.#receptions.delete(migration);
  }

  /** What the protocol knows of the target's end. */
  endOf(migration: MigrationId) {
    const saved = this.#context.ends.findIncoming(migration)?.saved ?? ({ state: "unknown" } as const);
    return { saved, isWhole: this.#receptions.get(migration)?.isWhole ?? false };
  }

  /** The domain, as long as it is being sent. Throws why it is not. */
  requireUnknown({ incoming, failure }: Reception): DomainRecord {
    if (failure !== undefined) throw new XenoError(failure.code, failure.message, { hint: failure.hint });
    const record = findReceiving(this.#context.host, incoming.migration, incoming.domain);
    if (record !== undefined && this.endOf(incoming.migration).saved.state === "unknown") return record;
    throw unknownReception(incoming.migration);
  }

  /** (I4) */
  touch(reception: Reception): void {
    clearTimeout(reception.idle);
    reception.idle = setTimeout(() => {
      reception.failure ??= describeError(
        new XenoError("reception-failed", `nothing more came of domain ${reception.incoming.domain}`),
      );
      void this.giveUp(reception);
    }, idleMs);
  }

  /** A guest that is here, paused: it counts as long as its hypervisor's process lives. */
  hold(reception: Reception, domain: Domain): void {
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

  /** Unless it is prepared. */
  async giveUp({ incoming }: Reception): Promise<void> {
    const { host } = this.#context;
    await host.queues.run(incoming.domain, async () => {
      if (this.endOf(incoming.migration).saved.state !== "unknown") return;
      await this.discard(incoming.migration, incoming.domain);
    });
  }

  /** In the domain's queue (I2). */
  async discard(migration: MigrationId, domain: string): Promise<void> {
    const reception = this.#receptions.get(migration);
    clearTimeout(reception?.idle);
    reception?.ended.abort(calledOff(domain));
    if (reception !== undefined) reception.isWhole = false;
    // A hypervisor that waits for it, or takes it, is gone then.
    await reception?.memory;
    await discardReceived(this.#context.host, migration, domain);
    // It is told why as long as this Xenod lives, and the source may ask.
    if (reception?.failure === undefined) this.#receptions.delete(migration);
  }
}

/** The domain that a migration brings, as long as that is its operation (I2). */
export function findReceiving(host: Host, migration: MigrationId, domain: string): DomainRecord | undefined {
  const record = host.records.find(domain);
  const { operation } = record ?? {};
  return operation?.kind === "receive" && operation.migration === migration ? record : undefined;
}

/** (I2) */
export async function discardReceived(host: Host, migration: MigrationId, name: string): Promise<void> {
  const record = findReceiving(host, migration, name);
  if (record === undefined) return;
  await host.domains.get(name)?.destroy();
  host.domains.delete(name);
  await releaseResources(host, record);
  await host.records.remove(name);
}

export function calledOff(domain: string): XenoError {
  return new XenoError("reception-failed", `the reception of domain ${domain} was given up`, {
    hint: "it goes on where it was",
  });
}

export function unknownReception(migration: MigrationId): XenoError {
  return new XenoError("reception-unknown", `nothing is being received under ${migration}`, {
    hint: "the XenoServer was restarted, or gave it up: migrate again",
  });
}
