/**
 * Domains from request to init, the first time and again: admission, one after the other, so that two requests never count on
 * the same room; then a task that goes on by itself.
 */
import { isDeepStrictEqual } from "node:util";
import { XenoError } from "../../cowfs/errors.ts";
import type { Layers } from "../../templates/layers/open-layers.ts";
import { admit, isUp } from "../resources/admission.ts";
import { admitPorts } from "./admit-ports.ts";
import { admissionQueue, chooseName, type Deployment, locateKernel, maxDomains, withSize } from "./deployment.ts";
import type { DomainRecord } from "./domain-record.ts";
import { watchBoot } from "./follow-domain.ts";
import { composeGuestFiles } from "./guest-files.ts";
import type { Host } from "./host.ts";
import { deployDomain, startDomain } from "./start-domain.ts";
import type { Task, TaskList, TaskProgress } from "./task-list.ts";

export interface BegunDeployment {
  /** The task's id; one of long ago may be forgotten while its domain lives. */
  readonly task: string;
  readonly domain: string;
  /** The request had come before: nothing was begun by this one. */
  readonly isRepeated: boolean;
}

/** A guest under TCG on a busy host takes a minute. */
const bootDeadlineMs = 300_000;

export class Deployments {
  readonly #host: Host;
  readonly #layers: Layers;
  readonly #tasks: TaskList;
  readonly #ending: AbortSignal;
  /** By request. */
  readonly #admitting = new Map<string, Promise<BegunDeployment>>();
  /** By domain, until its guest runs. */
  readonly #underWay = new Map<string, AbortController>();

  constructor(host: Host, layers: Layers, tasks: TaskList, ending: AbortSignal) {
    this.#host = host;
    this.#layers = layers;
    this.#tasks = tasks;
    this.#ending = ending;
  }

  /** Throws `request-conflict` where the id was another deployment's. */
  async begin(deployment: Deployment): Promise<BegunDeployment> {
    const known = this.#findRepeated(deployment);
    if (known !== undefined) return known;
    const sameRequest = this.#admitting.get(deployment.id);
    if (sameRequest !== undefined) return { ...(await sameRequest), isRepeated: true };
    const admitting = this.#host.queues.run(admissionQueue, () => this.#admit(deployment));
    this.#admitting.set(deployment.id, admitting);
    return await admitting.finally(() => this.#admitting.delete(deployment.id));
  }

  /** Has a deployment taken back, if its guest does not run yet. */
  cancel(domain: string): void {
    const reason = new XenoError("deployment-cancelled", `domain ${domain} was to end before it ran`);
    this.#underWay.get(domain)?.abort(reason);
  }

  #findRepeated(deployment: Deployment): BegunDeployment | undefined {
    const record = this.#host.records.list().find((candidate) => candidate.deployment.id === deployment.id);
    const asked = record && withSize(record.deployment, record.askedSize ?? record.deployment);
    if (record !== undefined && !isDeepStrictEqual(asked, withSize(deployment, deployment)))
      throw new XenoError("request-conflict", `request ${deployment.id} was another deployment, of ${record.name}`, {
        hint: "give each deployment an id of its own",
      });
    const task = record ?? this.#tasks.findByRequest(deployment.id);
    if (task === undefined) return undefined;
    return "task" in task
      ? { task: task.task, domain: task.name, isRepeated: true }
      : { task: task.id, domain: task.domain, isRepeated: true };
  }

  async #admit(deployment: Deployment): Promise<BegunDeployment> {
    const { records, pool } = this.#host;
    this.#ending.throwIfAborted();
    this.#host.draining.refuse();
    composeGuestFiles(deployment);
    const all = records.list();
    if (all.length >= maxDomains)
      throw new XenoError("domains-full", `this XenoServer keeps ${maxDomains} domains`, { hint: "remove some" });
    const name = chooseName(deployment, (candidate) => records.find(candidate) !== undefined);
    admit(deployment, all, await this.#host.hypervisor.memory?.());
    admitPorts(
      deployment,
      this.#host.ports,
      all.filter(({ state }) => isUp(state)),
    );
    const overlay = await this.#layers.resolveUrl(deployment.overlay, this.#ending, readSignedSince(deployment));
    const { url: kernelUrl } = locateKernel(deployment);
    const kernel = kernelUrl === deployment.overlay ? overlay : await this.#layers.resolveUrl(kernelUrl, this.#ending);
    const address = pool?.choose((candidate) => all.some((record) => record.address === candidate));
    const accepted = Date.now();
    const { promise: recorded, resolve: go, reject: giveUp } = Promise.withResolvers<DomainRecord>();
    const task = await this.#tasks.start({ kind: "deploy", domain: name, request: deployment.id }, async (progress) => {
      const record = await recorded;
      progress.step("accepted", accepted);
      return await this.#boot(record, deployDomain, progress);
    });
    const record: DomainRecord = {
      format: 1,
      name,
      deployment,
      task: task.id,
      overlayTree: overlay.tree,
      kernelTree: kernel.tree,
      intent: "running",
      state: "deploying",
      address,
      link: false,
      exported: false,
      steps: { accepted },
    };
    try {
      await records.save(record);
    } catch (error) {
      giveUp(error);
      throw error;
    }
    go(record);
    return { task: task.id, domain: name, isRepeated: false };
  }

  /** Boots a domain that ended, from its journal; asked again meanwhile, it is the same task. Throws `domain-busy`, `memory-short`. */
  async start(name: string): Promise<Task> {
    const { records, queues, pool } = this.#host;
    return await queues.run(admissionQueue, () =>
      queues.run(name, async () => {
        const record = records.get(name);
        this.#ending.throwIfAborted();
        const underWay = this.#tasks.findRunning("start", name);
        if (underWay !== undefined) return underWay;
        if (isUp(record.state) || record.intent === "removed")
          throw new XenoError("domain-busy", `domain ${name} is ${record.state}`, {
            hint: "xeno ps shows what it does",
          });
        const deployment = withSize(record.deployment, record.nextSize ?? record.deployment);
        admit(deployment, records.list(), await this.#host.hypervisor.memory?.());
        admitPorts(
          record.deployment,
          this.#host.ports,
          records.list().filter(({ state }) => isUp(state)),
        );
        const taken = records.list();
        record.address = pool?.choose((candidate) => taken.some(({ address }) => address === candidate));
        record.deployment = deployment;
        record.nextSize = undefined;
        record.intent = "running";
        record.state = "starting";
        record.reason = undefined;
        record.restarts = (record.restarts ?? 0) + 1;
        // It boots: what a resumed guest went on with is over, and its journal changes.
        record.bootEpoch = undefined;
        record.guestAddress = undefined;
        record.suspendedAt = undefined;
        record.steps = { accepted: Date.now() };
        await records.save(record);
        return await this.#tasks.start({ kind: "start", domain: name }, (progress) => {
          progress.step("accepted", record.steps.accepted);
          return this.#boot(record, startDomain, progress);
        });
      }),
    );
  }

  async #boot(
    record: DomainRecord,
    bring: typeof deployDomain,
    { step: onStep, signal: calledOff }: TaskProgress,
  ): Promise<unknown> {
    const { name } = record;
    const cancelled = new AbortController();
    this.#underWay.set(name, cancelled);
    const signal = AbortSignal.any([cancelled.signal, calledOff, this.#ending]);
    try {
      await this.#host.queues.run(name, () => bring(this.#host, record, onStep, signal));
    } finally {
      this.#underWay.delete(name);
    }
    const deadline = AbortSignal.timeout(bootDeadlineMs);
    // Outside the queue: a guest that hangs in its boot can be stopped.
    await watchBoot(this.#host, record, AbortSignal.any([deadline, calledOff, this.#ending]), onStep).catch((error) => {
      this.#ending.throwIfAborted();
      if (calledOff.aborted)
        throw new XenoError("task-cancelled", `its boot is no longer waited for; domain ${name} runs`, {
          hint: `xeno stop ends it`,
        });
      if (!deadline.aborted) throw error;
      throw new XenoError("boot-slow", `domain ${name} runs, but its init did not within ${bootDeadlineMs / 1000} s`, {
        hint: `its console may say why: xeno logs ${name}`,
      });
    });
    return { domain: name, address: record.address, steps: record.steps };
  }
}

/** In ms since the epoch. */
function readSignedSince({ signedSince }: Deployment): number | undefined {
  if (signedSince === undefined) return undefined;
  const since = Date.parse(signedSince);
  if (!Number.isNaN(since)) return since;
  throw new XenoError("document-invalid", `signedSince is '${signedSince}', and there is no such time`, {
    hint: "Write it as 2026-11-27T10:30:00Z.",
  });
}
