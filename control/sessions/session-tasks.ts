/** From what a client asks to have run in its session to what Xenod is asked for. One after the other for one session (N5). */
import { createHash } from "node:crypto";
import { XenoError } from "../../cowfs/errors.ts";
import type { Deployment } from "../../xenod/daemon/deployment.ts";
import type { SessionsConfiguration } from "./configuration.ts";
import { findKernel } from "./environments.ts";
import { noteDomain, noteSize } from "./keep-domains.ts";
import { runProgram } from "./keep-programs.ts";
import { type Machine, nameRequest } from "./machines.ts";
import { matchEnvironment, nameEnvironment } from "./match-environment.ts";
import type { Session, SessionProgram, SessionTask } from "./session.ts";
import { whatIsLeft } from "./share-out.ts";
import type { DomainTasks } from "./tasks/task-manager.ts";
import { findTaskManager } from "./tasks/task-managers.ts";

export interface AskedTask {
  /** Chosen by the client. */
  readonly id: string;
  readonly kind: string;
  /** In the form of its kind's schema. */
  readonly asked: unknown;
}

export interface TaskPlacing {
  readonly machine: Machine;
  readonly environments: SessionsConfiguration["environments"];
  save(session: Session): Promise<void>;
}

const maxTasks = 64;

export interface DeployedTask {
  readonly id: string;
  readonly kind: string;
  /** What runs it, once that is known. */
  readonly domain?: string;
}

/** Sent again with its id, it is the same. Throws `session-suspended`, `task-conflict`, `session-short`, what Xenod refuses. */
export async function deployTask(session: Session, asked: AskedTask, placing: TaskPlacing): Promise<DeployedTask> {
  const manager = findTaskManager(asked.kind);
  const hash = createHash("sha256").update(JSON.stringify(asked)).digest("base64url");
  const task = session.tasks.find(({ id }) => id === asked.id);
  const program = session.programs?.find(({ id }) => id === asked.id);
  const known = task ?? program;
  if (known !== undefined && known.hash !== hash)
    throw new XenoError("task-conflict", `${asked.id} is the id of another task`, { hint: "use a new id" });
  if (known === undefined) requireActive(session);
  if (manager.runsIn === "own-domain")
    return await deployDomain(session, task ?? (await addDomain(session, asked, hash, manager, placing)), placing);
  const { within, ...begun } = program ?? (await runProgram(session, { ...asked, hash }, manager, placing));
  return { ...begun, domain: session.tasks.find(({ request }) => request === within)?.domain };
}

async function deployDomain(session: Session, task: SessionTask, { machine, save }: TaskPlacing): Promise<SessionTask> {
  if (task.deployment === undefined) return task;
  try {
    noteDomain(task, (await machine.client.deploy(task.deployment)).domain);
  } catch (error) {
    if (!(error instanceof XenoError) || error.code === "server-unreachable") throw error;
    session.tasks.splice(session.tasks.indexOf(task), 1);
    await save(session);
    throw error;
  }
  await save(session);
  return task;
}

async function addDomain(
  session: Session,
  asked: AskedTask,
  hash: string,
  manager: DomainTasks,
  placing: TaskPlacing,
): Promise<SessionTask> {
  const kernel = findKernel(placing.environments, session.lease.requirements);
  const environment = nameEnvironment(asked.kind, asked.asked, kernel);
  let task = await matchEnvironment(session, environment, placing.machine);
  if (task !== undefined) Object.assign(task, { id: asked.id, hash, isHeldBack: true, error: undefined });
  else {
    if (session.tasks.length >= maxTasks)
      throw new XenoError("tasks-full", `a session has ${maxTasks} tasks`, { hint: "end one first" });
    await withdrawGrowth(session, placing);
    task = { ...describeTask(session, asked, manager, kernel), hash, environment };
    session.tasks.push(task);
  }
  // Until Xenod has answered it is not known whether it was begun: whoever finds it so asks again.
  session.isSettled = false;
  await placing.save(session);
  return task;
}

function describeTask(
  session: Session,
  { id, kind, asked }: AskedTask,
  manager: DomainTasks,
  kernel: string,
): Omit<SessionTask, "hash"> {
  const described = manager.describe(asked, { session, left: whatIsLeft(session), kernel });
  session.taskCount++;
  const request = nameRequest(session.id, session.taskCount);
  const deployment: Deployment = { id: request, ...described };
  const { memoryMiB, cpu } = deployment;
  const takesRest = manager.takesRest(asked);
  return { id, kind, request, takesRest, memoryMiB, cpuMsPerSecond: cpu?.meanMsPerSecond ?? 0, deployment };
}

/**
 * What a task is to get when its domain next boots is nobody's from now on, until the session has settled again. What its domain has
 * is as its machine says now. Throws `domain-busy` while it boots.
 */
export async function withdrawGrowth(session: Session, { machine, save }: Omit<TaskPlacing, "environments">) {
  const growing = session.tasks.filter(({ takesRest }) => takesRest);
  if (growing.length === 0) return;
  const domains = await machine.client.domains();
  for (const task of growing) {
    const domain = domains.find(({ deployment }) => deployment.id === task.request);
    if (domain === undefined) continue;
    const { name, deployment, nextSize } = domain;
    if (nextSize === undefined) noteSize(task, domain);
    else {
      session.isSettled = false;
      await save(session);
      noteSize(task, await machine.client.resize(name, { ...nextSize, memoryMiB: deployment.memoryMiB }));
    }
  }
}

/** A task that is a domain, or one that is a program. Throws `task-unknown`. */
export function findTask({ tasks, programs = [] }: Session, id: string): SessionTask | SessionProgram {
  const task = tasks.find((each) => each.id === id) ?? programs.find((each) => each.id === id);
  if (task !== undefined) return task;
  throw new XenoError("task-unknown", `the session has no task ${id}`, { hint: "xeno session show tells its tasks" });
}

function requireActive({ id, state, reason }: Session): void {
  if (state === "active") return;
  throw new XenoError("session-suspended", `the session ${id} is suspended: ${reason}`, {
    hint: reason === "dry" ? "top it up" : "renew it",
  });
}
