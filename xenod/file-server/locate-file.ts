/** Finds a file by its path as a guest's kernel would: through symbolic links, from the root. */
import { FileSystemError } from "../../cowfs/errors.ts";
import { runWithFaults } from "../../cowfs/fault.ts";
import { type FileId, type FileSystem, FileType } from "../../cowfs/file-system.ts";

/** Linux's own (path_resolution(7)). */
const maxLinks = 40;
const root = { uid: 0, gid: 0, groups: [] };

/** The file's id, or undefined where there is none. Rejects where a layer cannot be opened. */
export async function locateFile(
  fileSystem: FileSystem,
  path: string,
  signal: AbortSignal,
): Promise<FileId | undefined> {
  try {
    return await runWithFaults(() => walk(fileSystem, path), signal);
  } catch (error) {
    if (error instanceof FileSystemError && error.code !== "EIO") return undefined;
    throw error;
  }
}

function walk(fileSystem: FileSystem, path: string): FileId {
  let names = split(path);
  let at = fileSystem.rootId;
  let links = 0;
  while (names.length > 0) {
    const [name, ...rest] = names;
    const id = fileSystem.lookup(root, at, name);
    if ((fileSystem.getAttributes(id).mode & FileType.mask) !== FileType.symlink) {
      at = id;
      names = rest;
      continue;
    }
    if (++links > maxLinks) throw new FileSystemError("ELOOP");
    const target = fileSystem.readLink(root, id);
    if (target.startsWith("/")) at = fileSystem.rootId;
    names = [...split(target), ...rest];
  }
  return at;
}

function split(path: string): string[] {
  return path.split("/").filter((name) => name !== "" && name !== ".");
}
