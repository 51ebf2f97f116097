/** Whether this host has room for a guest; where not, what would fit. */
import { availableParallelism, freemem, totalmem } from "node:os";
import { XenoError } from "../../cowfs/errors.ts";
import { minQuotaBytes } from "../../cowfs/journals/checkpoint-limits.ts";
import type { Deployment } from "../daemon/deployment.ts";
import type { DomainRecord } from "../daemon/domain-record.ts";
import type { HostMemory } from "../hypervisors/hypervisor.ts";

const mebibyte = 1024 * 1024;
/** What a guest's QEMU takes beside the guest's memory. */
export const overheadMiB = 96;
/** What guests may have of the host's memory, and of its processors. */
const guestShare = 0.9;

type Wanted = Pick<Deployment, "memoryMiB" | "cpus" | "cpu" | "journalMiB">;

/** Whether a domain in this state has, or is about to have, what a guest takes of the host. */
export function isUp(state: DomainRecord["state"]): boolean {
  return state !== "stopped" && state !== "crashed" && state !== "suspended";
}

/**
 * Throws `memory-short`, `cpu-short`, `cpu-invalid` or `quota-invalid`. `records`: all domains of this XenoServer. `memory`: where
 * the hypervisor knows better than the operating system that we run in.
 */
export function admit(wanted: Wanted, records: readonly DomainRecord[], memory = readOwnMemory()): void {
  admitMemory(wanted.memoryMiB, records, memory);
  admitShares(wanted, records);
}

/** All but memory. Throws `cpu-short`, `cpu-invalid` or `quota-invalid`. */
export function admitShares(wanted: Omit<Wanted, "memoryMiB">, records: readonly DomainRecord[]): void {
  admitCpu(wanted, records);
  admitQuota(wanted);
}

/** MiB that this XenoServer's guests take, or are about to. */
export function countGuestMemory(records: readonly DomainRecord[]): number {
  return records
    .filter(({ state }) => isUp(state))
    .reduce((sum, { deployment }) => sum + deployment.memoryMiB + overheadMiB, 0);
}

/** Milliseconds per second that this XenoServer's guests were promised. */
export function countPromisedCpu(records: readonly DomainRecord[]): number {
  return records
    .filter(({ state }) => isUp(state))
    .reduce((sum, { deployment }) => sum + (deployment.cpu?.meanMsPerSecond ?? 0), 0);
}

/** What guests may still take, a guest's overhead included, and what guests may take in all. */
export interface Room {
  readonly memoryMiB: { readonly left: number; readonly total: number };
  readonly cpuMsPerSecond: { readonly left: number; readonly total: number };
}

export function measureRoom(records: readonly DomainRecord[], { totalMiB, freeMiB } = readOwnMemory()): Room {
  const memoryMiB = Math.floor(totalMiB * guestShare);
  const cpuMsPerSecond = Math.floor(availableParallelism() * 1000 * guestShare);
  // Guests of others, and everything else on the host.
  const memoryLeft = Math.min(memoryMiB - countGuestMemory(records), Math.floor(freeMiB));
  return {
    memoryMiB: { left: Math.max(0, memoryLeft), total: memoryMiB },
    cpuMsPerSecond: { left: Math.max(0, cpuMsPerSecond - countPromisedCpu(records)), total: cpuMsPerSecond },
  };
}

function readOwnMemory(): HostMemory {
  return { totalMiB: totalmem() / mebibyte, freeMiB: freemem() / mebibyte };
}

function admitMemory(memoryMiB: number, records: readonly DomainRecord[], memory: HostMemory): void {
  const { left } = measureRoom(records, memory).memoryMiB;
  if (memoryMiB + overheadMiB <= left) return;
  const fits = Math.max(0, left - overheadMiB);
  throw new XenoError(
    "memory-short",
    `a guest of ${memoryMiB} MiB needs ${memoryMiB + overheadMiB} MiB; this host has ${left} MiB left`,
    {
      hint: fits >= 64 ? `a guest of ${fits} MiB fits; or stop a domain` : "stop a domain, or deploy elsewhere",
    },
  );
}

function admitCpu({ cpus, cpu }: Omit<Wanted, "memoryMiB">, records: readonly DomainRecord[]): void {
  if (cpu === undefined) return;
  const { meanMsPerSecond, peakMsPerSecond } = cpu;
  if (peakMsPerSecond !== undefined && peakMsPerSecond < meanMsPerSecond)
    throw new XenoError("cpu-invalid", `a peak of ${peakMsPerSecond} ms/s below the mean of ${meanMsPerSecond} ms/s`, {
      hint: "ask for a peak of at least the mean",
    });
  if (meanMsPerSecond > cpus * 1000)
    throw new XenoError("cpu-invalid", `${cpus} virtual CPUs cannot use ${meanMsPerSecond} ms/s`, {
      hint: `ask for at most ${cpus * 1000} ms/s, or for more CPUs`,
    });
  const { left } = measureRoom(records).cpuMsPerSecond;
  if (meanMsPerSecond <= left) return;
  throw new XenoError("cpu-short", `a guest asks for ${meanMsPerSecond} ms/s of CPU; this host has ${left} ms/s left`, {
    hint: left > 0 ? `a mean of ${left} ms/s fits; or stop a domain` : "stop a domain, or deploy elsewhere",
  });
}

function admitQuota({ journalMiB }: Pick<Wanted, "journalMiB">): void {
  const least = Math.ceil(minQuotaBytes / mebibyte);
  if (journalMiB === undefined || journalMiB >= least) return;
  throw new XenoError("quota-invalid", `a journal cannot do with ${journalMiB} MiB`, {
    hint: `ask for ${least} MiB or more`,
  });
}
