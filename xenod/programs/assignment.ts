/**
 * What a XenoServer and the agent in a guest write for each other: see agent.sh. The XenoServer's side is `next`, the list of all
 * programs that the guest is to know of, always of 4,096 bytes; the agent's is a line for each that ended.
 */
import { type Static, Type } from "typebox";

export const programsDirectory = "/var/lib/xeno/programs";
export const programIdPattern = "^[A-Za-z0-9-]{1,64}$";
/** At once in one domain, with those that ended and were not forgotten yet: what has room in `next`. */
export const maxPrograms = 16;

export const AssignedProgram = Type.Object(
  {
    id: Type.String({ pattern: programIdPattern }),
    /** The program in its tar: a path below the tar's top. */
    entry: Type.String({ pattern: "^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$", maxLength: 100 }),
    /** After so many of the guest's seconds it is killed. */
    seconds: Type.Integer({ minimum: 1, maximum: 31_536_000 }),
    /** Once it has printed more, it is killed. */
    outputBytes: Type.Integer({ minimum: 1, maximum: 1_073_741_824 }),
  },
  { additionalProperties: false },
);
export type AssignedProgram = Static<typeof AssignedProgram>;

/**
 * `exited`: by itself, with `code` (128 and more: by a signal, as shells tell it). `timeout`, `output` (it printed too much),
 * `cancelled`: killed by the agent. `lost`: the guest went down meanwhile. `unusable`: its tar could not be unpacked there. `unclear`: what the guest says is nothing
 * that the agent writes.
 */
export interface ProgramOutcome {
  readonly state: "exited" | "timeout" | "output" | "cancelled" | "lost" | "unusable" | "unclear";
  readonly code?: number;
}

const assignmentBytes = 4096;
export const maxStatusBytes = 64;

export function composeAssignment(programs: readonly AssignedProgram[]): string {
  const lines = programs.map(({ id, seconds, outputBytes, entry }) => `${id} ${seconds} ${outputBytes} ${entry}\n`);
  const text = `xeno-programs 1\n${lines.join("")}end`;
  if (text.length > assignmentBytes) throw new RangeError(`${programs.length} programs take ${text.length} bytes`);
  return text.padEnd(assignmentBytes, "\n");
}

/** Of an agent's line. Guests are hostile: anything may stand there. */
export function readOutcome(line: string): ProgramOutcome {
  const [, state, code] = /^(exited|timeout|output|cancelled|lost|unusable)(?: (\d{1,3}))?\n$/.exec(line) ?? [];
  if (state === undefined || (state === "exited") !== (code !== undefined)) return { state: "unclear" };
  return code === undefined ? { state: state as "lost" } : { state: "exited", code: Number(code) };
}
