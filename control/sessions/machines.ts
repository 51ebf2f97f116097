/**
 * The XenoServers that an environment manager stands before: one, or a cluster that clients see as one. Each is reached by its
 * Xenod's API.
 *
 * - (R1) What was promised to sessions, and not taken by their domains yet, is nobody else's: a suspended session finds room
 *   when it resumes.
 */
import { XenoError } from "../../cowfs/errors.ts";
import type { XenodClient } from "../../xenod/api/client.ts";
import type { DomainRecord } from "../../xenod/daemon/domain-record.ts";
import { isUp, overheadMiB } from "../../xenod/resources/admission.ts";
import type { SessionResources } from "./lease.ts";

export interface Machine {
  readonly name: string;
  readonly client: XenodClient;
}

/** What somebody was promised on a machine. */
export interface Promised {
  /** The session's id. */
  readonly id: string;
  readonly machine: string;
  readonly resources: SessionResources;
}

export interface MachineRoom {
  readonly machine: Machine;
  readonly memoryMiB: number;
  readonly cpuMsPerSecond: number;
  /** 0 to 1: of what is scarcest. */
  readonly load: number;
}

/** A session's requests to Xenod, and so its domains, have ids that begin with its own. */
export function nameRequest(session: string, number: number): string {
  return `${session}-${number}`;
}

export function isOfSession({ deployment }: Pick<DomainRecord, "deployment">, session: string): boolean {
  return deployment.id.startsWith(`${session}-`);
}

/** Of those that answer. Throws `machines-unreachable` where none does. */
export async function measureRooms(
  machines: readonly Machine[],
  promised: readonly Promised[],
): Promise<MachineRoom[]> {
  const measured = await Promise.all(
    machines.map((machine) => measureRoom(machine, promised).catch((error: unknown) => error as Error)),
  );
  const rooms = measured.filter((room) => !(room instanceof Error)) as MachineRoom[];
  if (rooms.length > 0) return rooms;
  throw new XenoError("machines-unreachable", "no machine of this XenoServer answers", {
    hint: "its operator sees why: xeno server ls",
    cause: measured[0],
  });
}

/** The least loaded on which it fits. Throws `room-short`: what would fit. */
export function chooseMachine(rooms: readonly MachineRoom[], { MemoryMiB, CPUmsps }: SessionResources): MachineRoom {
  const fitting = rooms.filter(({ memoryMiB, cpuMsPerSecond }) => MemoryMiB <= memoryMiB && CPUmsps <= cpuMsPerSecond);
  const [best] = fitting.sort((one, other) => one.load - other.load);
  if (best !== undefined) return best;
  const most = rooms.map(({ memoryMiB, cpuMsPerSecond }) => `${memoryMiB} MiB and ${cpuMsPerSecond} ms/s of CPU`);
  throw new XenoError("room-short", `there is no room for ${MemoryMiB} MiB and ${CPUmsps} ms/s of CPU`, {
    hint: `there is room for ${most.join(", or ")}; or ask another XenoServer`,
  });
}

async function measureRoom(machine: Machine, promised: readonly Promised[]): Promise<MachineRoom> {
  const [{ room }, domains] = await Promise.all([machine.client.status(), machine.client.domains()]);
  let memory = room.memoryMiB.left - overheadMiB;
  let cpu = room.cpuMsPerSecond.left;
  for (const { id, machine: name, resources } of promised) {
    if (name !== machine.name) continue;
    const own = domains.filter((domain) => isUp(domain.state) && isOfSession(domain, id));
    const taken = own.reduce((sum, { deployment }) => sum + deployment.memoryMiB + overheadMiB, 0);
    const cpuTaken = own.reduce((sum, { deployment }) => sum + (deployment.cpu?.meanMsPerSecond ?? 0), 0);
    memory -= Math.max(0, resources.MemoryMiB + overheadMiB - taken);
    cpu -= Math.max(0, resources.CPUmsps - cpuTaken);
  }
  const memoryMiB = Math.max(0, memory);
  const cpuMsPerSecond = Math.max(0, cpu);
  const load = 1 - Math.min(memoryMiB / room.memoryMiB.total, cpuMsPerSecond / room.cpuMsPerSecond.total);
  return { machine, memoryMiB, cpuMsPerSecond, load: Math.min(1, Math.max(0, load)) };
}
