/** Finds a file by its path as a guest's kernel would: through symbolic links, from the root, and never out of it. */
import { FileSystemError } from "../../cowfs/errors.ts";
import { runWithFaults } from "../../cowfs/fault.ts";
import { type FileId, type FileSystem, FileType, type Name } from "../../cowfs/file-system.ts";

/** Linux's own (path_resolution(7)). */
const maxLinks = 40;
export const root = { uid: 0, gid: 0, groups: [] };

/** The file's id, or undefined where there is none. Rejects where a layer cannot be opened. */
export async function locateFile(
  fileSystem: FileSystem,
  path: string,
  signal: AbortSignal,
): Promise<FileId | undefined> {
  try {
    return await runWithFaults(() => walkPath(fileSystem, splitPath(path)), signal);
  } catch (error) {
    if (error instanceof FileSystemError && error.code !== "EIO") return undefined;
    throw error;
  }
}

/** `onMissing` may make what is not there, a link's target too; it answers with its id or throws. */
export function walkPath(
  fileSystem: FileSystem,
  path: readonly Name[],
  onMissing?: (directory: FileId, name: Name) => FileId,
): FileId {
  let names = [...path];
  let at = fileSystem.rootId;
  let links = 0;
  while (names.length > 0) {
    const [name, ...rest] = names;
    const id = lookUp(fileSystem, at, name) ?? onMissing?.(at, name);
    if (id === undefined) throw new FileSystemError("ENOENT");
    if ((fileSystem.getAttributes(id).mode & FileType.mask) !== FileType.symlink) {
      at = id;
      names = rest;
      continue;
    }
    if (++links > maxLinks) throw new FileSystemError("ELOOP");
    const target = fileSystem.readLink(root, id);
    if (target.startsWith("/")) at = fileSystem.rootId;
    names = [...splitPath(target), ...rest];
  }
  return at;
}

export function lookUp(fileSystem: FileSystem, directory: FileId, name: Name): FileId | undefined {
  try {
    return fileSystem.lookup(root, directory, name);
  } catch (error) {
    if (error instanceof FileSystemError && error.code === "ENOENT") return undefined;
    throw error;
  }
}

export function splitPath(path: Name): Name[] {
  return path.split("/").filter((name) => name !== "" && name !== ".");
}
