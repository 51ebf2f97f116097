/**
 * A domain comes in: from the offer to all of it being here, its guest paused. What is in the middle of that is nobody's: the
 * source has the domain, and whoever finds the rest here takes it back.
 */
import { randomUUID } from "node:crypto";
import type { Duplex, Readable } from "node:stream";
import { XenoError } from "../../../cowfs/errors.ts";
import { describeError } from "../../http/json-server.ts";
import type { DomainSpecification } from "../../hypervisors/hypervisor.ts";
import { createLink } from "../../links/guest-link.ts";
import { completeJournal, receiveFile } from "../../migration/journal/receive-journal.ts";
import type { FinalState, MigrationOffer } from "../../migration/peers/messages.ts";
import type { MigrationId } from "../../migration/protocol/messages.ts";
import { admissionQueue } from "../deployment.ts";
import { describeDomain, describeExport, describeGuestLink, prepareKernel } from "../host.ts";
import { admitOffer } from "./admit-offer.ts";
import type { MigrationContext } from "./context.ts";
import { discardReceived, findReceiving, type Reception, type Receptions } from "./receptions.ts";

/** Of a guest whose source has sent all: what is left is for QEMU to take. */
const memoryMs = 60_000;

export class DomainReceiver {
  readonly #context: MigrationContext;
  readonly #receptions: Receptions;
  readonly #ending: AbortSignal;

  constructor(context: MigrationContext, receptions: Receptions, ending: AbortSignal) {
    this.#context = context;
    this.#receptions = receptions;
    this.#ending = ending;
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
        this.#receptions.requireRoom();
        await host.records.save(record);
        return record;
      }),
    );
    await host.queues.run(name, async () => {
      try {
        const linking = createLink(describeGuestLink(host, admitted));
        const preparing = prepareKernel(host, admitted, this.#ending);
        await Promise.allSettled([linking, preparing]);
        const [link, kernel] = [await linking, await preparing];
        // Its guest will not have to wait for that.
        const { listen, url } = describeExport(host, admitted);
        const { layers = [{ url, tree: offer.overlayTree }] } = offer;
        await host.fileServer.prepareExport(name, { listen, layers }, this.#ending);
        this.#receptions.add({
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
    const reception = this.#receptions.find(from, migration);
    this.#receptions.touch(reception);
    const record = this.#receptions.requireUnknown(reception);
    const { records } = this.#context.host;
    const signal = AbortSignal.any([this.#ending, reception.ended.signal]);
    await receiveFile(records.journalOf(record), path, content, signal);
    this.#receptions.touch(reception);
  }

  /** The guest's memory, from a connection that is this reception's from now on. */
  receiveMemory(from: string, migration: MigrationId, stream: Duplex): void {
    const reception = this.#receptions.find(from, migration);
    const { specification, incoming } = reception;
    this.#receptions.requireUnknown(reception);
    if (specification === undefined || reception.memory !== undefined)
      throw new XenoError("reception-conflict", `the memory of ${incoming.domain} is being received already`);
    reception.memory = this.#receive(reception, specification, stream).catch((error) => {
      reception.failure ??= describeError(error);
      stream.destroy();
      void this.#receptions.giveUp(reception);
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
    this.#receptions.touch(reception);
    this.#receptions.hold(reception, domain);
    host.log.info({ domain: name, migration }, "its memory is here");
    await host.onStep?.(name, "receive memory received");
  }

  /** In the domain's queue: all that was sent is put together, and ready to run. What speaks against it is the reception's failure. */
  async complete(reception: Reception, final: FinalState): Promise<void> {
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
      const opening = host.fileServer.putExport(record.name, describeExport(host, record), this.#ending);
      const all = [opening, host.records.save(record), inTime(reception.memory, memoryMs)];
      // What fails is thrown away once nothing more comes of it.
      for (const outcome of await Promise.allSettled(all)) if (outcome.status === "rejected") throw outcome.reason;
      record.layers = (await opening).layers;
      if (reception.failure !== undefined) return;
      reception.isWhole = host.domains.has(record.name);
      await host.onStep?.(record.name, "receive whole");
    } catch (error) {
      host.log.warn({ domain: record.name, err: error }, "what was received is not whole");
      reception.failure = describeError(error);
      await this.#receptions.discard(incoming.migration, incoming.domain);
    }
  }
}

async function inTime(promise: Promise<void>, ms: number): Promise<void> {
  const late = new XenoError("reception-failed", `the guest's memory was not taken within ${ms / 1000} s`);
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(late), ms);
  });
  await Promise.race([promise, deadline]).finally(() => clearTimeout(timer));
}
