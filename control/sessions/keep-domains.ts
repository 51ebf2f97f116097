/**
 * Makes a session's domains what its state wants them to be: looks at what there is and does what is missing, so that it does
 * not matter what was done before, or by whom, or who was killed at what.
 *
 * - (K1) Of a session that is not in force no domain runs, once this has settled: it is suspended to a checkpoint or, where that
 *   fails twice, stopped by its power button. What it wrote stays.
 * - (K2) What ran when its session was suspended runs again when it is resumed, and what a new task was
 *   matched to; nothing else does.
 * - (K3) A session's domains are removed only when its client, or the end of the session, says so.
 * - (K4) They are limited to what the lease gives them, at once or when they next boot; what a machine refuses of that is told.
 */
import { isDeepStrictEqual } from "node:util";
import { XenoError } from "../../cowfs/errors.ts";
import { sizeOf } from "../../xenod/daemon/deployment.ts";
import type { DomainRecord } from "../../xenod/daemon/domain-record.ts";
import type { Machine } from "./machines.ts";
import type { Session, SessionTask } from "./session.ts";
import { sizeTask } from "./share-out.ts";

export interface KeeperOptions {
  save(session: Session): Promise<void>;
  now(): number;
  log(text: string): void;
}

interface UnderWay {
  /** Xenod's task. */
  task?: string;
  failures: number;
  /** Not to be tried again before. */
  retryAt: number;
}

const stopGraceMs = 30_000;
const maxSuspendFailures = 2;
const maxBackoffMs = 60_000;

export class DomainKeeper {
  readonly #options: KeeperOptions;
  /** By request. What is lost with this process is looked at anew. */
  readonly #underWay = new Map<string, UnderWay>();

  constructor(options: KeeperOptions) {
    this.#options = options;
  }

  /** One look. The session is settled when there was nothing left to do. */
  async keep(session: Session, machine: Machine): Promise<void> {
    const domains = await machine.client.domains();
    let isSettled = true;
    for (const task of [...session.tasks]) {
      const { request } = task;
      const domain = domains.find(({ deployment }) => deployment.id === request);
      if (domain !== undefined) noteSize(task, domain);
      const isDone =
        (await this.#isIdle(request, domain, machine)) && (await this.#keepOne(session, task, domain, machine));
      if (!isDone) isSettled = false;
      else {
        this.#underWay.delete(request);
        if (!task.isEnding) continue;
        session.tasks.splice(session.tasks.indexOf(task), 1);
        // What it had is another one's.
        isSettled = false;
      }
    }
    session.isSettled = isSettled;
    await this.#options.save(session);
  }

  /** True when there is nothing to do for the task. */
  async #keepOne(
    session: Session,
    task: SessionTask,
    domain: DomainRecord | undefined,
    { client }: Machine,
  ): Promise<boolean> {
    const { request } = task;
    if (task.isEnding || session.state === "ending" || session.state === "ended") {
      if (domain === undefined) return true;
      await this.#begin(request, () => client.remove(domain.name));
      return false;
    }
    if (session.state === "suspended") return await this.#holdBack(session, task, domain, client);
    if (domain === undefined) return await deployAgain(task, client);
    if (isChanging(domain)) return false;
    if (!(await this.#resize(session, task, domain, client))) return false;
    if (!task.isHeldBack) return true;
    if (domain.state === "running") {
      task.isHeldBack = false;
      return true;
    }
    await this.#begin(request, () => client.start(domain.name));
    return false;
  }

  /** (K4) Whether it has its size, or cannot have it. */
  async #resize(session: Session, task: SessionTask, domain: DomainRecord, client: Machine["client"]) {
    const wanted = sizeTask(session, task, domain);
    const has = domain.nextSize ?? sizeOf(domain.deployment);
    if (isDeepStrictEqual(has, wanted)) return true;
    try {
      noteSize(task, await client.resize(domain.name, wanted));
      task.error = undefined;
    } catch (error) {
      const { code, message } = error as XenoError;
      if (code === "domain-busy") return false;
      if (!(error instanceof XenoError) || code === "server-unreachable") throw error;
      task.error = { code, message };
    }
    return true;
  }

  async #holdBack(
    session: Session,
    task: SessionTask,
    domain: DomainRecord | undefined,
    client: Machine["client"],
  ): Promise<boolean> {
    if (domain !== undefined && isChanging(domain)) return false;
    if (domain?.state !== "running") return true;
    if (!task.isHeldBack) {
      task.isHeldBack = true;
      await this.#options.save(session);
    }
    const { request } = task;
    const failures = this.#underWay.get(request)?.failures ?? 0;
    await this.#begin(request, () =>
      failures < maxSuspendFailures ? client.suspend(domain.name) : client.stop(domain.name, stopGraceMs),
    );
    return false;
  }

  async #begin(request: string, act: () => Promise<{ readonly task: string }>): Promise<void> {
    const known = this.#underWay.get(request) ?? { failures: 0, retryAt: 0 };
    this.#underWay.set(request, known);
    if (this.#options.now() < known.retryAt) return;
    try {
      known.task = (await act()).task;
    } catch (error) {
      this.#fail(request, known, error as Error);
    }
  }

  /** Whether nothing of ours is under way for it. */
  async #isIdle(request: string, domain: DomainRecord | undefined, { client }: Machine): Promise<boolean> {
    const known = this.#underWay.get(request);
    if (known?.task === undefined) return true;
    const task = await client.getTask(known.task).catch((error) => {
      // Of long ago: what there is says the rest.
      if ((error as XenoError).code === "task-unknown") return undefined;
      throw error;
    });
    // A guest that boots can be ended or suspended meanwhile.
    const isUnderWay = task?.state === "running" && (task.kind !== "start" || domain?.state !== "running");
    if (isUnderWay) return false;
    known.task = undefined;
    if (task?.state === "failed") this.#fail(request, known, new Error(task.error!.message));
    return true;
  }

  #fail(request: string, known: UnderWay, error: Error): void {
    known.failures++;
    known.retryAt = this.#options.now() + Math.min(maxBackoffMs, 500 * 2 ** known.failures);
    this.#options.log(`${request}: ${error.message}`);
  }
}

/** What a task's domain was made with is the session's to give no more. */
export function noteSize(task: SessionTask, { name, deployment }: DomainRecord): void {
  noteDomain(task, name);
  task.memoryMiB = deployment.memoryMiB;
}

/** Xenod has the deployment: nobody needs it here any more. */
export function noteDomain(task: SessionTask, domain: string): void {
  task.domain = domain;
  task.deployment = undefined;
}

/** Of a task without a domain: its deployment was cut off before Xenod had answered, or failed afterwards. */
async function deployAgain(task: SessionTask, client: Machine["client"]): Promise<boolean> {
  if (task.error !== undefined) return true;
  try {
    if (task.deployment !== undefined) noteDomain(task, (await client.deploy(task.deployment)).domain);
    else {
      const deploying = (await client.tasks()).find((begun) => begun.request === task.request);
      if (deploying?.state === "running") return false;
      const { code = "domain-unknown", message = `its domain ${task.domain} is gone` } = deploying?.error ?? {};
      task.error = { code, message };
    }
  } catch (error) {
    if (!(error instanceof XenoError) || error.code === "server-unreachable") throw error;
    task.error = { code: error.code, message: error.message };
    task.deployment = undefined;
  }
  return task.error !== undefined;
}

function isChanging({ state, operation }: DomainRecord): boolean {
  return state === "deploying" || state === "starting" || operation !== undefined;
}
