/** What a XenoServer says of itself. */
import { totalmem } from "node:os";
import type { FileServerStatus } from "../file-server/protocol.ts";
import { countGuestMemory, measureRoom, type Room } from "../resources/admission.ts";
import type { Host } from "./host.ts";

export interface ServerStatus {
  readonly name: string;
  readonly process: number;
  /** Ms since the epoch. */
  readonly started: number;
  readonly hypervisor: string;
  readonly memoryMiB: { readonly total: number; readonly guests: number };
  /** What deployments are admitted by. */
  readonly room: Room;
  /** It takes no new domains. */
  readonly isDraining: boolean;
  readonly domains: { readonly [state: string]: number };
  readonly fileServer: { readonly keeper?: number; readonly worker?: number; readonly problem?: string };
}

/** `started`: ms since the epoch. `fileServer`: what that says of itself, undefined while it does not answer. */
export async function describeServer(
  { name, records, hypervisor, draining }: Host,
  started: number,
  fileServer: FileServerStatus | undefined,
): Promise<ServerStatus> {
  const all = records.list();
  const counts: Record<string, number> = {};
  for (const { state } of all) counts[state] = (counts[state] ?? 0) + 1;
  const memory = await hypervisor.memory?.();
  return {
    name,
    process: process.pid,
    started,
    hypervisor: hypervisor.kind,
    memoryMiB: { total: Math.floor(memory?.totalMiB ?? totalmem() / 1024 / 1024), guests: countGuestMemory(all) },
    room: measureRoom(all, memory),
    isDraining: draining.isDraining,
    domains: counts,
    fileServer:
      fileServer === undefined
        ? { problem: "it does not answer" }
        : { keeper: fileServer.keeper, worker: fileServer.worker },
  };
}
