/**
 * Programs that run inside of a domain, beside what it was deployed for. Its own guest runs them: nothing is done for one that its
 * owner could not do on its console.
 *
 * - (P1) Only a domain that was deployed with `programs` has the agent, and nothing is laid into any other.
 * - (P2) Nothing of programs is kept here. Who asks names all that the guest is to know of, each time: what is missing is begun, what
 *   is not named any more is killed, and what is known already is left as it is. So it may be asked however often, by
 *   whoever finds it half done, and moves with its domain.
 * - (P3) A program runs at most once: the guest makes its directory before it begins, on stable storage.
 * - (P4) What is asked for is asked of one deployment, and of none that has its domain's name by now.
 * - (P5) While a domain is being saved or moved nothing is laid: it might be left behind.
 */
import { XenoError } from "../../cowfs/errors.ts";
import { type DomainRecord, requireDeployment } from "../daemon/domain-record.ts";
import type { Host } from "../daemon/host.ts";
import type { FileRead } from "../file-server/protocol.ts";
import {
  type AssignedProgram,
  composeAssignment,
  maxStatusBytes,
  type ProgramOutcome,
  programsDirectory,
  readOutcome,
} from "./assignment.ts";

/** A domain by its name, and by the id of its deployment (P4). */
export interface DomainReference {
  readonly name: string;
  readonly deployment: string;
}

export interface ProgramOutput {
  readonly base64: string;
  /** Of all of it: more than `base64` has, where that is the end. */
  readonly size: number;
}

/** Brings a program's tar into the guest, which is not told of it yet. */
export async function layProgram(host: Host, of: DomainReference, id: string, base64: string): Promise<void> {
  const laid = [{ path: fileOf(id, "tar"), base64, mode: 0o644, uid: 0, gid: 0 }];
  await withDomain(host, of, () => host.fileServer.exchangeFiles(of.name, { laid }));
}

/** (P2) How those of them ended that did; null where one has not. */
export async function assignPrograms(
  host: Host,
  of: DomainReference,
  programs: readonly AssignedProgram[],
): Promise<(ProgramOutcome | null)[]> {
  const base64 = Buffer.from(composeAssignment(programs)).toString("base64");
  const kept = [{ path: `${programsDirectory}/next`, base64, mode: 0o644, uid: 0, gid: 0 }];
  const read = programs.map(({ id }) => ({ path: fileOf(id, "status"), maxBytes: maxStatusBytes }));
  const answer = await withDomain(host, of, () => host.fileServer.exchangeFiles(of.name, { kept, read }));
  return answer.read.map((status) => (status === null ? null : readOutcome(textOf(status))));
}

/** The end of what a program has printed, as far as its guest has written that to its root. */
export async function readProgramOutput(
  host: Host,
  of: DomainReference,
  id: string,
  maxBytes: number,
): Promise<ProgramOutput> {
  const read = [{ path: fileOf(id, "output"), maxBytes }];
  const {
    read: [output],
  } = await withDomain(host, of, () => host.fileServer.exchangeFiles(of.name, { read }));
  return output ?? { base64: "", size: 0 };
}

/** Throws `domain-unknown`, `domain-stopped`, `domain-busy`, `programs-unwanted`. */
async function withDomain<T>({ records, queues }: Host, of: DomainReference, act: () => Promise<T>): Promise<T> {
  // Before the queue too: nobody waits there for the end of what refuses them.
  requireProgrammable(records.get(of.name), of.deployment);
  return await queues.run(of.name, async () => {
    requireProgrammable(records.get(of.name), of.deployment);
    return await act();
  });
}

function requireProgrammable(record: DomainRecord, id: string): void {
  requireDeployment(record, id);
  const { name, deployment, intent, state, operation } = record;
  if (deployment.programs !== true)
    throw new XenoError("programs-unwanted", `domain ${name} was not deployed to run programs`, {
      hint: "deploy it with `programs`, which lays the agent that runs them",
    });
  if (operation !== undefined)
    throw new XenoError("domain-busy", `domain ${name} is being saved or moved`, { hint: "ask again in a moment" });
  if (state !== "running" || intent !== "running")
    throw new XenoError("domain-stopped", `domain ${name} does not run: it is ${state}`);
}

function fileOf(id: string, what: "tar" | "status" | "output"): string {
  return `${programsDirectory}/${id}.${what}`;
}

function textOf({ base64 }: FileRead): string {
  return Buffer.from(base64, "base64").toString("latin1");
}
