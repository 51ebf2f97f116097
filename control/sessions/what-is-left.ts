/** What of a session's resources its tasks have not taken. */
import { XenoError } from "../../cowfs/errors.ts";
import type { Lease } from "./lease.ts";
import type { Session } from "./session.ts";

export function whatIsLeft(
  { lease, tasks }: Session,
  next: Lease = lease,
): { memoryMiB: number; cpuMsPerSecond: number } {
  return {
    memoryMiB: next.resources.MemoryMiB - tasks.reduce((sum, { memoryMiB }) => sum + memoryMiB, 0),
    cpuMsPerSecond: next.resources.CPUmsps - tasks.reduce((sum, { cpuMsPerSecond }) => sum + cpuMsPerSecond, 0),
  };
}

/** Throws `session-short` where a lease is of less than what is deployed. */
export function requireFits(session: Session, next: Lease): void {
  const left = whatIsLeft(session, next);
  if (left.memoryMiB >= 0 && left.cpuMsPerSecond >= 0) return;
  throw new XenoError("session-short", `the tasks of the session ${session.id} take more than that`, {
    hint: "end one of them first",
  });
}
