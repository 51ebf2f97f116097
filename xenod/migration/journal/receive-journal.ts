/**
 * The target's half of a journal's move: a directory that is no journal until all of it is there.
 *
 * Names come from another host: only those that a journal's files have are taken, so that nothing is written elsewhere.
 */
import { createWriteStream } from "node:fs";
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { XenoError } from "../../../cowfs/errors.ts";
import { syncDirectory } from "../../state-file.ts";
import { journalFilePattern, maxJournalFiles } from "../peers/messages.ts";
import type { JournalFile } from "./send-journal.ts";

/** What is told of a file that is on its way. */
export interface Arriving {
  readonly signal: AbortSignal;
  /** Called for each piece of it. */
  onPiece?(): void;
}

const validPath = new RegExp(journalFilePattern);
/** As a segment, a checkpoint or a log may have: more than any has. */
const maxFileBytes = 2 ** 42;

/** One file, on stable storage when it settles. One of the same name is written anew. */
export async function receiveFile(
  directory: string,
  path: string,
  content: Readable | Buffer,
  { signal, onPiece }: Arriving,
): Promise<void> {
  requireJournalPath(path);
  const file = join(directory, path);
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  if ((await readdir(dirname(file))).length > maxJournalFiles)
    throw new XenoError("journal-file-invalid", `a journal has no more than ${maxJournalFiles} files`);
  let bytes = 0;
  const counted = async function* (pieces: AsyncIterable<Buffer>) {
    for await (const piece of pieces) {
      bytes += piece.length;
      onPiece?.();
      if (bytes > maxFileBytes) throw new XenoError("journal-file-invalid", `${path} is too large`);
      yield piece;
    }
  };
  try {
    // Not written over: a checkpoint may share it.
    await rm(file, { force: true });
    await pipeline(
      Buffer.isBuffer(content) ? Readable.from([content]) : content,
      counted,
      createWriteStream(file, { mode: 0o600, flush: true }),
      { signal },
    );
  } catch (cause) {
    if (cause instanceof XenoError || signal.aborted) throw cause;
    throw new XenoError("reception-failed", `cannot write ${path} of the journal: ${(cause as Error).message}`, {
      hint: "free disk space under $XENO_HOME there, or choose another XenoServer",
      cause,
    });
  }
}

/** Throws `journal-file-invalid`. */
export function requireJournalPath(path: string): void {
  if (!validPath.test(path))
    throw new XenoError("journal-file-invalid", `${JSON.stringify(path.slice(0, 100))} is no file of a journal`);
}

/** Takes away what is none of the journal's files, and syncs. Throws `reception-failed` where one is missing. */
export async function completeJournal(directory: string, files: readonly JournalFile[]): Promise<void> {
  const wanted = new Map(files.map(({ path, bytes }) => [path, bytes]));
  const folders = new Set(["", ...files.map(({ path }) => (path.includes("/") ? dirname(path) : ""))]);
  for (const folder of folders) {
    const at = join(directory, folder);
    for (const entry of await readdir(at, { withFileTypes: true }).catch(() => [])) {
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      const isKept = entry.isDirectory() ? folder === "" && folders.has(entry.name) : wanted.has(path);
      if (!isKept) await rm(join(directory, path), { recursive: true, force: true });
    }
  }
  for (const [path, bytes] of wanted) {
    const found = await stat(join(directory, path)).catch(() => undefined);
    if (found?.size !== bytes)
      throw new XenoError("reception-failed", `${path} of the journal has ${found?.size ?? "no"} bytes, not ${bytes}`);
  }
  for (const folder of folders) await syncDirectory(join(directory, folder));
}
