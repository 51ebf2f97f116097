/** A program that runs inside of a domain of the session: a tar, with what is to be run in it. */
import { type Static, Type } from "typebox";
import { XenoError } from "../../../../cowfs/errors.ts";
import { readTar } from "../../../../templates/import/tar/read-tar.ts";
import { AssignedProgram } from "../../../../xenod/programs/assignment.ts";
import type { ProgramTasks } from "../task-manager.ts";

/** What is larger belongs into an overlay, which is sent once and not with each request. */
export const maxTarBytes = 1024 * 1024;
const { entry, seconds, outputBytes } = AssignedProgram.properties;

export const ProgramTask = Type.Object(
  {
    /** The id of the session's task that has the domain, and that was deployed with `programs`. */
    inside: Type.String({ maxLength: 40 }),
    /** In base64, not compressed. */
    tar: Type.String({ pattern: "^[A-Za-z0-9+/]*={0,2}$" }),
    /** Default: `run`. */
    entry: Type.Optional(entry),
    /** Default: an hour. */
    seconds: Type.Optional(seconds),
    /** Default: a MiB. */
    outputBytes: Type.Optional(outputBytes),
  },
  { additionalProperties: false },
);
export type ProgramTask = Static<typeof ProgramTask>;

export const programTasks: ProgramTasks<ProgramTask> = {
  kind: "program",
  schema: ProgramTask,
  runsIn: "other-domain",
  async describe({ inside, tar, entry = "run", seconds = 3_600, outputBytes = 1_048_576 }) {
    const bytes = Buffer.from(tar, "base64");
    if (bytes.length > maxTarBytes) throw tooLarge(bytes.length);
    await requireEntry(bytes, entry);
    return { inside, tar, entry, seconds, outputBytes };
  },
};

export function tooLarge(bytes: number): XenoError {
  return new XenoError("program-too-large", `the tar has ${bytes} bytes, and may have ${maxTarBytes}`, {
    hint: "put what is large into the overlay, and only what runs it into the tar",
  });
}

/** Throws `program-entry-missing`, `tar-refused`. */
async function requireEntry(tar: Buffer, entry: string): Promise<void> {
  let why = "it has no such file";
  for await (const { path, type, permissions } of readTar(asStream(tar))) {
    if (path.replace(/^(\.\/)+/, "") !== entry) continue;
    if (type === "file" && (permissions & 0o111) !== 0) return;
    // Of several of one name the last counts, for tar too.
    why = type === "file" ? "it may not be executed" : `it is a ${type}`;
  }
  throw new XenoError("program-entry-missing", `the tar has no program ${entry}: ${why}`, {
    hint: "chmod +x run && tar -cf program.tar run; or name another --entry",
  });
}

async function* asStream(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}
