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
import type { IncomingMigration } from "../../migration/ends/migration-ends.ts";
import { CheckpointReceiver } from "../../migration/journal/receive-checkpoints.ts";
import { completeJournal, receiveFile } from "../../migration/journal/receive-journal.ts";
import type { CheckpointFile } from "../../migration/journal/send-checkpoints.ts";
import type { FinalState, JournalEnd, KeptCheckpoint, MigrationOffer } from "../../migration/peers/messages.ts";
import type { MigrationId } from "../../migration/protocol/messages.ts";
import { admissionQueue } from "../deployment.ts";
import type { DomainRecord } from "../domain-record.ts";
import { describeDomain, describeExport, describeGuestLink, prepareKernel } from "../host.ts";
import { admitOffer } from "./admit-offer.ts";
import type { MigrationContext } from "./context.ts";
import { MemoryArrival } from "./memory-arrival.ts";
import { discardReceived, findReceiving, type Reception, type Receptions, unknownReception } from "./receptions.ts";

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
        const ended = new AbortController();
        const signal = AbortSignal.any([this.#ending, ended.signal]);
        const arrival = new MemoryArrival(signal);
        const incoming: IncomingMigration = {
          ...{ format: 1, side: "target", migration, domain: name, created: Date.now(), from },
          saved: { state: "unknown" },
        };
        const reception: Reception = { incoming, platform: offer.platform, ended, arrival, isWhole: false };
        this.#receptions.add(reception);
        await host.onStep?.(name, "receive accepted");
        const specification = describeDomain(host, admitted, link, kernel);
        reception.memory = this.#receive(reception, arrival, specification, signal);
      } catch (error) {
        await discardReceived(host, migration, name);
        throw error;
      }
    });
    return migration;
  }

  /** A file of the journal, on stable storage when it settles. */
  async receiveFile(from: string, migration: MigrationId, path: string, content: Readable | Buffer): Promise<void> {
    const { record, reception, arriving } = this.#find(from, migration);
    await receiveFile(this.#context.host.records.journalOf(record), path, content, arriving);
    this.#receptions.touch(reception);
  }

  /** Files of the journal that came in one message. */
  async takeSmallFiles({ incoming }: Reception, small: JournalEnd["small"]): Promise<void> {
    const { from, migration } = incoming;
    const receiving = small.map(({ path, content }) =>
      this.receiveFile(from, migration, path, Buffer.from(content, "base64")),
    );
    for (const outcome of await Promise.allSettled(receiving)) if (outcome.status === "rejected") throw outcome.reason;
  }

  /** A file of a checkpoint that comes with it: its content, or one that is here already. */
  async receiveCheckpointFile(
    from: string,
    migration: MigrationId,
    file: CheckpointFile,
    content: Readable | CheckpointFile,
  ): Promise<void> {
    const { record, reception, arriving } = this.#find(from, migration);
    const checkpoints = this.#checkpointsOf(record);
    if ("checkpoint" in content) await checkpoints.linkFile(file, content);
    else await checkpoints.receiveFile(file, content, arriving);
    this.#receptions.touch(reception);
  }

  /** All of a checkpoint is here. In the domain's queue: nothing of it is taken away meanwhile. */
  async keepCheckpoint(from: string, migration: MigrationId, { manifest, files }: KeptCheckpoint): Promise<void> {
    const { host } = this.#context;
    await host.queues.run(this.#receptions.find(from, migration).incoming.domain, async () => {
      const { record, reception } = this.#find(from, migration);
      await this.#checkpointsOf(record).keep(manifest, files);
      this.#receptions.touch(reception);
      await host.onStep?.(record.name, "receive checkpoint");
    });
  }

  #checkpointsOf({ name }: DomainRecord): CheckpointReceiver {
    const { records, fileServer } = this.#context.host;
    return new CheckpointReceiver(records.directoryOf(name), records.checkpointsOf(name), fileServer);
  }

  /** What is being fed. Throws why it is not. */
  #find(from: string, migration: MigrationId) {
    const reception = this.#receptions.find(from, migration);
    const record = this.#receptions.requireUnknown(reception);
    const onPiece = () => this.#receptions.touch(reception);
    onPiece();
    const signal = AbortSignal.any([this.#ending, reception.ended.signal]);
    return { record, reception, arriving: { signal, onPiece } };
  }

  /** The guest's memory, from a connection that is this reception's once `open` is called. Throws why it never will be. */
  async receiveMemory(from: string, migration: MigrationId, open: () => Duplex): Promise<void> {
    const reception = this.#receptions.find(from, migration);
    const { incoming, arrival, memory } = reception;
    this.#receptions.requireUnknown(reception);
    if (arrival === undefined || memory === undefined) throw unknownReception(migration);
    let isOpen = false;
    const openOnce = () => {
      isOpen = true;
      this.#receptions.touch(reception);
      return open();
    };
    await Promise.race([arrival.bring(incoming.domain, openOnce), memory]);
    if (isOpen) return;
    this.#receptions.requireUnknown(reception);
    throw unknownReception(migration);
  }

  /** Never rejects. The hypervisor waits for it while the guest runs at its source. */
  async #receive(
    reception: Reception,
    arrival: MemoryArrival,
    specification: DomainSpecification,
    signal: AbortSignal,
  ): Promise<void> {
    const { host } = this.#context;
    const { domain: name, migration } = reception.incoming;
    try {
      const domain = await host.hypervisor.receive(specification, () => arrival.take(), reception.platform, signal);
      if (signal.aborted) {
        await domain.destroy();
        throw signal.reason;
      }
      this.#receptions.touch(reception);
      this.#receptions.hold(reception, domain);
      host.log.info({ domain: name, migration }, "its memory is here");
      await host.onStep?.(name, "receive memory received");
    } catch (error) {
      reception.failure ??= describeError(error);
      arrival.close(error);
      void this.#receptions.giveUp(reception);
    }
  }

  /** In the domain's queue: all of its journal was sent, and is opened while its memory comes. As `complete`, where that fails. */
  async openRoot(reception: Reception, final: FinalState): Promise<void> {
    const { host } = this.#context;
    const { incoming } = reception;
    const record = findReceiving(host, incoming.migration, incoming.domain);
    if (reception.isRootOpen || record === undefined || reception.failure !== undefined) return;
    this.#receptions.touch(reception);
    await this.#orDiscard(reception, async () => {
      await completeJournal(host.records.journalOf(record), final.files);
      record.bootEpoch = final.bootEpoch;
      record.cutPorts = final.guestPorts;
      const { layers } = await host.fileServer.putExport(record.name, describeExport(host, record), this.#ending);
      record.layers = layers;
      await host.records.save(record);
      reception.isRootOpen = true;
      await host.onStep?.(record.name, "receive root open");
    });
  }

  /** In the domain's queue: all that was sent is put together, and ready to run. What speaks against it is the reception's failure. */
  async complete(reception: Reception, final: FinalState): Promise<void> {
    const { host } = this.#context;
    const { incoming } = reception;
    if (reception.isWhole) return;
    await this.openRoot(reception, final);
    const record = findReceiving(host, incoming.migration, incoming.domain);
    if (record === undefined || reception.failure !== undefined) return;
    clearTimeout(reception.idle);
    await this.#orDiscard(reception, async () => {
      if (reception.memory === undefined || !reception.arrival?.isBrought)
        throw new XenoError("reception-failed", "no memory was sent");
      await inTime(reception.memory, memoryMs);
      if (reception.failure !== undefined) return;
      reception.isWhole = host.domains.has(record.name);
      await host.onStep?.(record.name, "receive whole");
    });
  }

  async #orDiscard(reception: Reception, act: () => Promise<void>): Promise<void> {
    const { incoming } = reception;
    try {
      await act();
    } catch (error) {
      this.#context.host.log.warn({ domain: incoming.domain, err: error }, "what was received is not whole");
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
