/**
 * Which domains Xen has, and in which state: `xl list -v`.
 *
 * `xl list -l` is JSON, but of the domains' configuration only; states, reasons and processor time are in this table and nowhere else
 * that xl shows. Its columns are fixed (list_domains in tools/xl/xl_list.c of Xen 4.17); a name may hold anything, so that lines are
 * read from their end.
 */
import { XenoError } from "../../../cowfs/errors.ts";

/** SHUTDOWN_* in public/sched.h of Xen. */
export const shutdownReasons = ["poweroff", "reboot", "suspend", "crash", "watchdog", "soft-reset"] as const;
export type ShutdownReason = (typeof shutdownReasons)[number] | "unknown";

export interface ListedDomain {
  readonly name: string;
  readonly id: number;
  readonly uuid: string;
  readonly memoryMiB: number;
  readonly cpus: number;
  readonly isPaused: boolean;
  /** It is being taken down: for what counts it is gone. */
  readonly isDying: boolean;
  /** The guest has ended, and why; it stays until somebody destroys it. */
  readonly shutdown?: ShutdownReason;
  readonly cpuMs: number;
}

/** After `s` stands a letter for the reason (r for a reset), which the code says as well. */
const line =
  /^(.*?) +(\d+) +(\d+) +(\d+) +([r-])([b-])([p-])([s-])([\w?-])([d-]) +(\d+\.\d) +([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}) +(-|\d+)(?: +\S+)*$/;

/** Throws `xl-unreadable` for a table of another kind. */
export function parseList(text: string): ListedDomain[] {
  const [head = "", ...rows] = text.split("\n");
  if (!/^Name +ID +Mem +VCPUs\s+State\s+Time\(s\)\s+UUID\s+Reason-Code/.test(head)) throw unreadable(head);
  return rows.filter((row) => row !== "").map(parseRow);
}

function parseRow(row: string): ListedDomain {
  const match = line.exec(row);
  if (match === null) throw unreadable(row);
  const [, name, id, memory, cpus, , , paused, , , dying, seconds, uuid, reason] = match;
  const shutdown = reason === "-" ? undefined : (shutdownReasons[Number(reason)] ?? "unknown");
  return {
    name,
    id: Number(id),
    uuid,
    memoryMiB: Number(memory),
    cpus: Number(cpus),
    isPaused: paused === "p",
    isDying: dying === "d",
    ...(shutdown === undefined ? {} : { shutdown }),
    cpuMs: Math.round(Number(seconds) * 1000),
  };
}

function unreadable(text: string): XenoError {
  return new XenoError("xl-unreadable", `xl list printed "${text.slice(0, 200)}"`, {
    hint: "this driver knows the tables of Xen 4.17",
  });
}
