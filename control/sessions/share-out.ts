/**
 * What of a lease each task of the session has. Processor time is shared out anew with each lease, in proportion to what the tasks
 * had. Memory is what a task's domain was made with, and is its own until it ends; what nobody has, a task that named none gets
 * when its domain next boots.
 */
import { XenoError } from "../../cowfs/errors.ts";
import type { DeployedSize } from "../../xenod/daemon/deployment.ts";
import type { DomainRecord } from "../../xenod/daemon/domain-record.ts";
import type { Lease } from "./lease.ts";
import type { Session, SessionTask } from "./session.ts";

export interface TaskShare {
  readonly memoryMiB: number;
  readonly cpuMsPerSecond: number;
}

export function whatIsLeft({ lease, tasks }: Pick<Session, "lease" | "tasks">): TaskShare {
  return {
    memoryMiB: lease.resources.MemoryMiB - tasks.reduce((sum, { memoryMiB }) => sum + memoryMiB, 0),
    cpuMsPerSecond: lease.resources.CPUmsps - tasks.reduce((sum, { cpuMsPerSecond }) => sum + cpuMsPerSecond, 0),
  };
}

/** Throws `session-short` where a lease is of less than its tasks cannot do without. */
export function requireFits({ id, tasks }: Session, lease: Lease): void {
  const { CPUmsps } = lease.resources;
  const isEnough = CPUmsps === 0 || CPUmsps >= tasks.length;
  if (isEnough && whatIsLeft({ lease, tasks }).memoryMiB >= 0) return;
  throw new XenoError("session-short", `the tasks of the session ${id} take more than that`, {
    hint: "end one of them first: memory that a guest was started with stays its own",
  });
}

export function shareProcessors({ tasks, lease }: Session): void {
  const { CPUmsps } = lease.resources;
  const had = tasks.reduce((sum, { cpuMsPerSecond }) => sum + cpuMsPerSecond, 0);
  for (const task of tasks) {
    const part = had === 0 ? 1 / tasks.length : task.cpuMsPerSecond / had;
    task.cpuMsPerSecond = CPUmsps === 0 ? 0 : Math.max(1, Math.floor(CPUmsps * part));
  }
}

/** What the domain of a task is to be limited to. */
export function sizeTask(session: Session, task: SessionTask, { deployment }: DomainRecord): DeployedSize {
  const isNext = task === session.tasks.find(({ takesRest }) => takesRest);
  const memoryMiB = task.memoryMiB + (isNext ? whatIsLeft(session).memoryMiB : 0);
  const cpuMsPerSecond = Math.min(task.cpuMsPerSecond, deployment.cpus * 1000);
  return sizeDomain(session.lease, { memoryMiB, cpuMsPerSecond });
}

/** Of a session that asks for no processor time, its domains have what is idle. */
export function sizeDomain({ resources, requirements }: Lease, { memoryMiB, cpuMsPerSecond }: TaskShare): DeployedSize {
  const { NetMbps, DiskMiB } = resources;
  const peak = requirements.QoS?.CPUmtpsPeak;
  const peakMsPerSecond = peak === undefined ? {} : { peakMsPerSecond: Math.max(peak, cpuMsPerSecond) };
  return {
    memoryMiB,
    ...(cpuMsPerSecond > 0 ? { cpu: { meanMsPerSecond: cpuMsPerSecond, ...peakMsPerSecond } } : {}),
    ...(NetMbps > 0 ? { network: { peakKbitPerSecond: NetMbps * 1000 } } : {}),
    ...(DiskMiB > 0 ? { journalMiB: DiskMiB } : {}),
  };
}
