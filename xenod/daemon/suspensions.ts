/**
 * Suspends and resumes from request to end: admission, a task that goes on by itself, and what calls a suspend off.
 */
import { randomUUID } from "node:crypto";
import { XenoError } from "../../cowfs/errors.ts";
import type { CheckpointManifest } from "../checkpoints/manifest.ts";
import { admit, isUp } from "../resources/admission.ts";
import { admitPorts } from "./admit-ports.ts";
import { describeFetched, type Exchange, fetchOne, openPublished, publishOne } from "./checkpoint-exchange.ts";
import { admissionQueue, chooseName, maxDomains } from "./deployment.ts";
import type { DomainRecord } from "./domain-record.ts";
import type { Host } from "./host.ts";
import { intendResume, type ResumableCheckpoint, removeCheckpoint, resumeDomain } from "./resume-domain.ts";
import { suspendDomain } from "./suspend-domain.ts";
import type { Task, TaskList, TaskProgress } from "./task-list.ts";

export interface ResumeRequest {
  /** Default: the last one. */
  readonly checkpoint?: number;
  /** Another domain of this name, made from the checkpoint; the one that it was taken of stays as it is. */
  readonly as?: string;
}

export class Suspensions {
  readonly #host: Host;
  readonly #tasks: TaskList;
  readonly #ending: AbortSignal;
  readonly #exchange: Exchange;

  constructor(host: Host, tasks: TaskList, exchange: Exchange, ending: AbortSignal) {
    this.#host = host;
    this.#exchange = exchange;
    this.#tasks = tasks;
    this.#ending = ending;
  }

  /** Takes a checkpoint; `ends`: of a guest that then runs no more. */
  async suspend(name: string, ends: boolean): Promise<Task> {
    this.#host.records.get(name);
    return await this.#tasks.start({ kind: "suspend", domain: name }, async (progress) => {
      const signal = AbortSignal.any([progress.signal, this.#ending]);
      const onStep = this.#tell(name, "suspend", progress);
      const { number, memory } = await this.#host.queues.run(name, () =>
        suspendDomain(this.#host, this.#host.records.get(name), ends, onStep, signal),
      );
      return { domain: name, checkpoint: number, memoryBytes: memory.bytes };
    });
  }

  /** Has a suspend given up, unless its checkpoint is kept already; whether one was under way. */
  callOff(name: string): boolean {
    const underWay = this.#tasks.findRunning("suspend", name);
    if (underWay !== undefined) this.#tasks.cancel(underWay.id);
    return underWay !== undefined;
  }

  /**
   * Resumes a domain that does not run; one that is being suspended runs on. Throws `checkpoint-unknown`, `domain-running`,
   * `domain-exists`, or what admission throws.
   */
  async resume(name: string, { checkpoint, as }: ResumeRequest): Promise<Task> {
    const { records } = this.#host;
    const known = records.get(name);
    if (as !== undefined) return await this.#resumeAs(known, checkpoint, as);
    this.callOff(name);
    // What is being suspended has run on by then, or is suspended.
    await this.#host.queues.run(name, async () => {});
    if (known.state === "running" && checkpoint === undefined)
      return await this.#tasks.start({ kind: "resume", domain: name }, async () => ({
        domain: name,
        address: known.address,
      }));
    const manifest = await this.#prepareResume(name, checkpoint);
    return await this.#tasks.start({ kind: "resume", domain: name }, (progress) =>
      this.#resumeOne(known, { manifest, domain: known }, progress),
    );
  }

  /** Takes what the domain needs of the host, and notes that it is about to be resumed. */
  #prepareResume(name: string, checkpoint: number | undefined): Promise<CheckpointManifest> {
    const { records } = this.#host;
    return this.#admitting(name, async () => {
      const record = records.get(name);
      if (isUp(record.state))
        throw new XenoError("domain-running", `domain ${name} is ${record.state}`, {
          hint: "stop it first, or resume the checkpoint as another domain: --as NAME",
        });
      const manifest = await records.checkpointsOf(name).get(checkpoint);
      await this.#admit(record, manifest);
      intendResume(record, manifest);
      await records.save(record);
      return manifest;
    });
  }

  /** In the order in which Deployments takes the queues. */
  #admitting<T>(name: string, act: () => Promise<T>): Promise<T> {
    const { queues } = this.#host;
    return queues.run(admissionQueue, () => queues.run(name, act));
  }

  async #resumeOne(record: DomainRecord, from: ResumableCheckpoint, progress: TaskProgress): Promise<unknown> {
    const onStep = this.#tell(record.name, "resume", progress);
    const signal = AbortSignal.any([progress.signal, this.#ending]);
    await this.#host.queues.run(record.name, () => resumeDomain(this.#host, record, from, onStep, signal));
    return { domain: record.name, checkpoint: from.manifest.number, address: record.address };
  }

  async #resumeAs(source: DomainRecord, checkpoint: number | undefined, as: string): Promise<Task> {
    const { records } = this.#host;
    const manifest = await records.checkpointsOf(source.name).get(checkpoint);
    const { deployment, overlayTree, kernelTree } = manifest;
    const id = randomUUID();
    const record: DomainRecord = {
      format: 1,
      name: as,
      // The guest has its host name already; what it reboots as is the same. Ports are the first domain's.
      deployment: { hostname: manifest.domain, ...deployment, id, name: as, ports: undefined },
      task: id,
      overlayTree,
      kernelTree,
      intent: "running",
      state: "deploying",
      link: false,
      exported: false,
      steps: { accepted: Date.now() },
    };
    await this.#admitting(as, async () => {
      if (records.list().length >= maxDomains)
        throw new XenoError("domains-full", `this XenoServer keeps ${maxDomains} domains`, { hint: "remove some" });
      chooseName(record.deployment, (candidate) => records.find(candidate) !== undefined);
      await this.#admit(record, manifest);
      intendResume(record, manifest);
      await records.save(record);
    });
    const from = { manifest, domain: source };
    return await this.#tasks.start(
      { kind: "resume", domain: as },
      (progress) => this.#resumeOne(record, from, progress),
      id,
    );
  }

  /** Publishes a checkpoint, signed as this XenoServer's. */
  async publish(name: string, number: number | undefined): Promise<Task> {
    const record = this.#host.records.get(name);
    await this.#host.records.checkpointsOf(name).get(number);
    return await this.#tasks.start({ kind: "publish", domain: name }, (progress) => {
      const signal = AbortSignal.any([progress.signal, this.#ending]);
      return publishOne(this.#host, this.#exchange, record, number, signal);
    });
  }

  /**
   * Resumes a checkpoint that another XenoServer published, as a domain of this one. Throws `ref-untrusted` where its signer is not
   * trusted for checkpoints, `checkpoint-invalid`, `overlay-unknown`, or what admission throws.
   */
  async resumePublished({ url, name }: { readonly url: string; readonly name?: string }): Promise<Task> {
    const { records, queues } = this.#host;
    const found = await openPublished(this.#exchange, url, this.#ending);
    const id = randomUUID();
    const record = await queues.run(admissionQueue, async () => {
      if (records.list().length >= maxDomains)
        throw new XenoError("domains-full", `this XenoServer keeps ${maxDomains} domains`, { hint: "remove some" });
      const described = describeFetched(this.#host, found.manifest, name, id);
      admit(described.deployment, records.list(), await this.#host.hypervisor.memory?.());
      await records.save(described);
      return described;
    });
    const fetch = async (progress: TaskProgress) => {
      const signal = AbortSignal.any([progress.signal, this.#ending]);
      await queues.run(record.name, () => fetchOne(this.#host, this.#exchange, record, { url, ...found }, signal));
      progress.step("fetched");
      const manifest = await this.#prepareResume(record.name, 1);
      return await this.#resumeOne(record, { manifest, domain: record }, progress);
    };
    return await this.#tasks.start({ kind: "resume", domain: record.name }, fetch, id);
  }

  async checkpoints(name: string): Promise<CheckpointManifest[]> {
    this.#host.records.get(name);
    return await this.#host.records.checkpointsOf(name).list();
  }

  /** Throws `checkpoint-unknown`, `checkpoint-needed`. */
  async removeCheckpoint(name: string, number: number): Promise<void> {
    this.#host.records.get(name);
    await this.#host.queues.run(name, () => removeCheckpoint(this.#host, this.#host.records.get(name), number));
  }

  /** Room for it, and an address: the one that the guest has, where that is free. */
  async #admit(record: DomainRecord, { deployment, guestAddress }: CheckpointManifest): Promise<void> {
    const { records, pool } = this.#host;
    const all = records.list();
    const wanted = { ...record.deployment, memoryMiB: deployment.memoryMiB };
    admit(wanted, all, await this.#host.hypervisor.memory?.());
    admitPorts(
      record.deployment,
      this.#host.ports,
      all.filter((other) => other !== record && isUp(other.state)),
    );
    const isTaken = (address: string) => all.some((other) => other !== record && other.address === address);
    record.address = pool?.choose(isTaken, guestAddress);
  }

  #tell(name: string, kind: string, { step }: TaskProgress): (step: string) => Promise<void> {
    return async (reached) => {
      step(reached);
      await this.#host.onStep?.(name, `${kind} ${reached}`);
    };
  }
}
