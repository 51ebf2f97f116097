/** Whether this host has room for a guest. */
import { freemem, totalmem } from "node:os";
import { XenoError } from "../../cowfs/errors.ts";
import type { Deployment } from "./deployment.ts";
import type { DomainRecord } from "./domain-record.ts";

const mebibyte = 1024 * 1024;
/** What a guest's QEMU takes beside the guest's memory. */
const overheadMiB = 96;
/** What guests may have of the host's memory. */
const guestShare = 0.9;

/** Whether a domain in this state has, or is about to have, what a guest takes of the host. */
export function isUp(state: DomainRecord["state"]): boolean {
  return state === "running" || state === "deploying" || state === "starting";
}

/** MiB that this XenoServer's guests take, or are about to. */
export function countGuestMemory(records: readonly DomainRecord[]): number {
  return records
    .filter(({ state }) => isUp(state))
    .reduce((sum, { deployment }) => sum + deployment.memoryMiB + overheadMiB, 0);
}

/** Throws `memory-short`. */
export function admitMemory(memoryMiB: number, records: readonly DomainRecord[]): void {
  const wanted = memoryMiB + overheadMiB;
  const ownLeft = Math.floor((totalmem() / mebibyte) * guestShare) - countGuestMemory(records);
  // Guests of others, and everything else on the host.
  const left = Math.min(ownLeft, Math.floor(freemem() / mebibyte));
  if (wanted <= left) return;
  throw new XenoError(
    "memory-short",
    `a guest of ${memoryMiB} MiB needs ${wanted} MiB; this host has ${left} MiB left`,
    {
      hint: "ask for less memory, stop a domain, or deploy elsewhere",
    },
  );
}

/** What a document may ask for and this XenoServer does not do: refused, so that nobody counts on it. */
const notDone = ["cpu", "network", "journalMiB"] as const;

/** Throws `not-supported`. */
export function refuseWhatIsNotDone(deployment: Deployment): void {
  const asked = notDone.filter((property) => deployment[property] !== undefined);
  if (asked.length === 0) return;
  throw new XenoError("not-supported", `this XenoServer does not do ${asked.join(", ")}`, {
    hint: "leave it out, or deploy on one that does",
  });
}
