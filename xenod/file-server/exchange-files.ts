/**
 * How a XenoServer and a guest that runs tell each other things: through files of the guest's own root. There is no other way into a
 * guest, and it needs none: no network, no device, no key.
 *
 * The guest is hostile, and owns its root: it may have put anything where a file is expected, and change it at any time.
 *
 * - (E1) Nothing is reached that the guest does not reach itself: links are followed inside its root (locate-file.ts). Only regular
 *   files are read and written; what else lies there is as good as nothing.
 * - (E2) No more is read than was asked for, from the end, however long a file claims to be.
 * - (E3) What is kept in place (`kept`) has the same inode and the same size for ever, and each write is all of it: a guest whose
 *   kernel remembers a file's attributes for minutes sees what is new at once, and whole, where it reads with O_DIRECT.
 * - (E4) The same again changes nothing; what was laid and kept is on stable storage once this settles.
 */
import { FileSystemError } from "../../cowfs/errors.ts";
import { runWithFaults } from "../../cowfs/fault.ts";
import { type FileId, type FileSystem, FileType } from "../../cowfs/file-system.ts";
import { layFiles, refuse } from "./lay-files.ts";
import { root, splitPath, walkPath } from "./locate-file.ts";
import type { FileExchange, FileRead, FileToLay } from "./protocol.ts";

const nothing = Buffer.alloc(0);

/** One entry of `read` for each that was asked for: null where there is no such file. Throws `file-not-laid`. */
export async function exchangeFiles(
  fileSystem: FileSystem,
  { laid = [], kept = [], read = [] }: FileExchange,
  signal: AbortSignal,
): Promise<{ read: (FileRead | null)[] }> {
  if (laid.length > 0) await layFiles(fileSystem, laid, signal);
  for (const file of kept) await keepFile(fileSystem, file, signal);
  const found: (FileRead | null)[] = [];
  for (const { path, maxBytes } of read) found.push(await readEnd(fileSystem, path, maxBytes, signal));
  return { read: found };
}

/** (E3). Where the guest has something else there, it is laid anew. */
async function keepFile(fileSystem: FileSystem, file: FileToLay, signal: AbortSignal): Promise<void> {
  const content = Buffer.from(file.base64, "base64");
  const isKept = await runWithFaults(() => {
    const id = findRegular(fileSystem, file.path);
    if (id === undefined || fileSystem.getAttributes(id).size !== content.length) return false;
    if (readAt(fileSystem, id, 0, content.length).equals(content)) return true;
    fileSystem.transact(undefined, () => {
      fileSystem.write(root, id, 0, content);
      return nothing;
    });
    return true;
  }, signal).catch((cause) => refuse(file, cause));
  if (isKept) await fileSystem.sync();
  else await layFiles(fileSystem, [file], signal);
}

/** (E2) */
async function readEnd(
  fileSystem: FileSystem,
  path: string,
  maxBytes: number,
  signal: AbortSignal,
): Promise<FileRead | null> {
  return await runWithFaults(() => {
    const id = findRegular(fileSystem, path);
    if (id === undefined) return null;
    const { size } = fileSystem.getAttributes(id);
    const length = Math.min(size, maxBytes);
    return { size, base64: readAt(fileSystem, id, size - length, length).toString("base64") };
  }, signal).catch(nullWhereUnreadable);
}

function readAt(fileSystem: FileSystem, id: FileId, offset: number, length: number): Buffer {
  const target = Buffer.alloc(length);
  let done = 0;
  while (done < length) {
    const bytes = fileSystem.read(root, id, offset + done, length - done, target, done);
    if (bytes === 0) break;
    done += bytes;
  }
  return target.subarray(0, done);
}

/** (E1) */
function findRegular(fileSystem: FileSystem, path: string): FileId | undefined {
  try {
    const id = walkPath(fileSystem, splitPath(Buffer.from(path, "utf8").toString("latin1")));
    return (fileSystem.getAttributes(id).mode & FileType.mask) === FileType.regular ? id : undefined;
  } catch (error) {
    if (error instanceof FileSystemError) return undefined;
    throw error;
  }
}

function nullWhereUnreadable(error: unknown): null {
  if (error instanceof FileSystemError) return null;
  throw error;
}
