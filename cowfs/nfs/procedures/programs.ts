/** The programs that one port serves, and how a call finds its procedure. */
import { Accept } from "../rpc/reply.ts";
import { lockProgram, monitorProgram } from "./lock-program.ts";
import { mountProgram } from "./mount-program.ts";
import { nfsProgram } from "./nfs-program.ts";
import { portmapProgram } from "./portmap-program.ts";
import type { Procedure, Program } from "./procedure.ts";

export const programs: readonly Program[] = [nfsProgram, mountProgram, portmapProgram, lockProgram, monitorProgram];

/** The procedure, or the accept_stat that says why there is none. */
export function findProcedure(program: number, version: number, procedure: number): Procedure | number {
  for (const candidate of programs) {
    if (candidate.number !== program) continue;
    if (candidate.version !== version) return Accept.programMismatch;
    return candidate.procedures[procedure] ?? Accept.procedureUnavailable;
  }
  return Accept.programUnavailable;
}

export function versionOf(program: number): number {
  return programs.find((candidate) => candidate.number === program)!.version;
}
