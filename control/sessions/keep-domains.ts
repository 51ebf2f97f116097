/**
 * Makes a session's domains what its state wants them to be: looks at what there is and does what is missing, so that it does
 * not matter what was done before, or by whom, or who was killed at what.
 *
 * - (K1) Of a session that is not in force no domain runs, once this has settled: it is suspended to a checkpoint or, where that
 *   fails twice, stopped by its power button. What it wrote stays.
 * - (K2) What ran when its session was suspended runs again when it is resumed, and nothing else does.
 * - (K3) A session's domains are removed only when its client, or the end of the session, says so.
 */
import { XenoError } from "../../cowfs/errors.ts";
import type { DomainRecord } from "../../xenod/daemon/domain-record.ts";
import type { Machine } from "./machines.ts";
import type { Session, SessionTask } from "./session.ts";

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
      if (domain !== undefined) noteDomain(task, domain.name);
      const isDone = (await this.#isIdle(request, machine)) && (await this.#keepOne(session, task, domain, machine));
      if (!isDone) isSettled = false;
      else {
        this.#underWay.delete(request);
        if (task.isEnding) session.tasks.splice(session.tasks.indexOf(task), 1);
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
    // Xenod takes back what it cannot deploy: that is seen when it is gone.
    if (!task.isHeldBack) return domain.state !== "deploying";
    if (domain.state === "running" && domain.operation === undefined) {
      task.isHeldBack = false;
      return true;
    }
    if (isChanging(domain)) return false;
    await this.#begin(request, () => client.start(domain.name));
    return false;
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
  async #isIdle(request: string, { client }: Machine): Promise<boolean> {
    const known = this.#underWay.get(request);
    if (known?.task === undefined) return true;
    const task = await client.getTask(known.task).catch((error) => {
      // Of long ago: what there is says the rest.
      if ((error as XenoError).code === "task-unknown") return undefined;
      throw error;
    });
    if (task?.state === "running") return false;
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
