/**
 * Programs inside of a session's domains: begun, looked after, read and forgotten. They are the session's as its domains are: what runs
 * in one is charged with it, is suspended with it, and goes with it.
 *
 * - (J1) A program is kept in the session's record before its domain is told of it (N2), and its tar is in the domain before that.
 *   Who is killed in between leaves at most a tar that nothing names.
 * - (J2) It runs at most once (P3), and only in the domain of the task that it named, as that was deployed then (P4).
 * - (J3) What a guest says of it is that guest's word: it is told, and decides nothing but that nobody waits any more.
 * - (J4) Its client ends it: the guest is no longer told of it, which kills it; its output goes with it.
 */
import { XenoError } from "../../cowfs/errors.ts";
import { maxPrograms, type ProgramOutcome } from "../../xenod/programs/assignment.ts";
import type { DomainReference } from "../../xenod/programs/guest-programs.ts";
import { type Machine, nameRequest } from "./machines.ts";
import type { Session, SessionProgram, SessionTask } from "./session.ts";
import type { AskedTask } from "./session-tasks.ts";
import type { ProgramTasks } from "./tasks/task-manager.ts";

export interface ProgramPlacing {
  readonly machine: Machine;
  save(session: Session): Promise<void>;
}

/** What else concerns the session waits so long at most; the next look comes in a second. */
const patienceMs = 30_000;
/** It is told at a later look. */
const waiting = new Set(["domain-busy", "domain-stopped", "export-busy", "server-unreachable"]);

/** Begins a new one. Throws `task-unknown`, `programs-full`, what the kind and Xenod refuse. */
export async function runProgram(
  session: Session,
  { id, kind, hash, asked }: AskedTask & { readonly hash: string },
  manager: ProgramTasks,
  placing: ProgramPlacing,
): Promise<SessionProgram> {
  const { inside, tar, ...limits } = await manager.describe(asked);
  const task = session.tasks.find((each) => each.id === inside && !each.isEnding);
  if (task === undefined)
    throw new XenoError("task-unknown", `the session has no task ${inside} to run ${id} inside of`, {
      hint: "xeno session show tells its tasks",
    });
  const programs = session.programs ?? [];
  if (programs.filter((program) => program.within === task.request).length >= maxPrograms)
    throw new XenoError("programs-full", `the domain of ${inside} has its ${maxPrograms} programs`, {
      hint: "end one of them, also where it is over: xeno session end",
    });
  const { machine, save } = placing;
  const domain = referTo(task);
  session.taskCount++;
  const request = nameRequest(session.id, session.taskCount);
  await machine.client.layProgram(domain, request, tar);
  const program: SessionProgram = { id, kind, hash, request, within: task.request, ...limits };
  session.programs = [...programs, program];
  await save(session);
  await keepPrograms(session, placing);
  return program;
}

/** Whether anything is to be looked after. */
export function hasProgramsUnderWay({ state, programs = [] }: Session): boolean {
  return state === "active" && programs.some(({ outcome, isEnding }) => outcome === undefined || isEnding);
}

/** One look: tells the domains what they are to run, and notes what has ended, and what stands in the way. */
export async function keepPrograms(session: Session, { machine, save }: ProgramPlacing): Promise<void> {
  const before = JSON.stringify(session.programs);
  for (const within of new Set((session.programs ?? []).map((program) => program.within))) {
    const all = session.programs!.filter((program) => program.within === within);
    const listed = all.filter(({ isEnding }) => !isEnding);
    const { outcomes, error } = await askDomain(session, within, listed, machine);
    for (const program of all) program.error = error;
    if (outcomes === undefined) continue;
    for (const [at, program] of listed.entries()) program.outcome ??= outcomes[at] ?? undefined;
    session.programs = session.programs!.filter((program) => program.within !== within || !program.isEnding);
  }
  if (JSON.stringify(session.programs) !== before) await save(session);
}

interface Answer {
  readonly outcomes?: readonly (ProgramOutcome | null)[];
  /** Why there are none, where waiting for a moment will not do. */
  readonly error?: { readonly code: string; readonly message: string };
}

/** A domain that is gone has lost them all. */
async function askDomain(
  session: Session,
  within: string,
  programs: readonly SessionProgram[],
  { client }: Machine,
): Promise<Answer> {
  const lost: Answer = { outcomes: programs.map(() => ({ state: "lost" })) };
  const task = session.tasks.find(({ request }) => request === within);
  if (task?.domain === undefined) return lost;
  const assigned = programs.map(({ request: id, entry, seconds, outputBytes }) => ({
    id,
    entry,
    seconds,
    outputBytes,
  }));
  const signal = AbortSignal.timeout(patienceMs);
  try {
    return { outcomes: await client.assignPrograms(referTo(task), assigned, signal) };
  } catch (error) {
    if (signal.aborted) return {};
    if (!(error instanceof XenoError)) throw error;
    if (error.code === "domain-unknown") return lost;
    return waiting.has(error.code) ? {} : { error: { code: error.code, message: error.message } };
  }
}

/** The end of what it printed. Throws `domain-stopped`: it lies in its domain. */
export async function readProgramOutput(
  session: Session,
  { within, request }: SessionProgram,
  { client }: Machine,
  bytes: number,
): Promise<string> {
  const task = session.tasks.find((each) => each.request === within);
  if (task?.domain === undefined) throw new XenoError("domain-unknown", "the domain that it ran in is gone");
  const { base64 } = await client.programOutput(referTo(task), request, bytes);
  return Buffer.from(base64, "base64").toString();
}

/** Throws `domain-stopped` while nothing is known of it. */
function referTo({ id, request, domain }: SessionTask): DomainReference {
  if (domain !== undefined) return { name: domain, deployment: request };
  throw new XenoError("domain-stopped", `the domain of task ${id} does not run`, {
    hint: "xeno session show tells why",
  });
}
