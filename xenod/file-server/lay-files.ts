/**
 * Lays files over what the layers of a new domain's root show, in its journal: there they take part in whatever the journal
 * does (snapshots, checkpoints, migration), with no layer of their own.
 *
 * As in a layer, a file takes the place of a file or link of its name. Links on the way are followed, inside the root, and
 * directories that are missing are made. Laid twice, it is the same. A deployment's files are laid before the guest first runs and
 * never after, so that nothing of the guest's is lost; what a running guest is told has paths of its own (exchange-files.ts).
 */
import { FileSystemError, XenoError } from "../../cowfs/errors.ts";
import { runWithFaults } from "../../cowfs/fault.ts";
import { type FileSystem, FileType } from "../../cowfs/file-system.ts";
import { lookUp, root, splitPath, walkPath } from "./locate-file.ts";
import type { FileToLay } from "./protocol.ts";

const nothing = Buffer.alloc(0);

/** On stable storage once it settles. Throws `file-not-laid`: which, and why. */
export async function layFiles(
  fileSystem: FileSystem,
  files: readonly FileToLay[],
  signal: AbortSignal,
): Promise<void> {
  for (const file of files)
    await runWithFaults(() => layFile(fileSystem, file), signal).catch((cause) => refuse(file, cause));
  await fileSystem.sync();
}

export function refuse({ path }: FileToLay, cause: unknown): never {
  if (!(cause instanceof FileSystemError)) throw cause;
  throw new XenoError("file-not-laid", `${path} cannot be laid over the root: ${cause.message}`, {
    hint: "choose a path that is no directory, below none that is a file, where there is room",
    cause,
  });
}

function layFile(fileSystem: FileSystem, { path, base64, mode, uid, gid }: FileToLay): void {
  const change = (make: () => void) => {
    fileSystem.transact(undefined, () => {
      make();
      return nothing;
    });
  };
  const names = splitPath(Buffer.from(path, "utf8").toString("latin1"));
  const name = names.pop();
  if (name === undefined || name === ".." || names.includes("..")) throw new FileSystemError("EINVAL");
  const directory = walkPath(fileSystem, names, (parent, missing) => {
    change(() => fileSystem.createDirectory(root, parent, missing, { mode: 0o755 }));
    return fileSystem.lookup(root, parent, missing);
  });
  const before = lookUp(fileSystem, directory, name);
  if (before !== undefined) {
    const isDirectory = (fileSystem.getAttributes(before).mode & FileType.mask) === FileType.directory;
    if (isDirectory) throw new FileSystemError("EISDIR");
    change(() => fileSystem.removeFile(root, directory, name));
  }
  change(() => fileSystem.createFile(root, directory, name, { mode, uid, gid }, { kind: "guarded" }));
  const id = fileSystem.lookup(root, directory, name);
  const content = Buffer.from(base64, "base64");
  if (content.length > 0) change(() => fileSystem.write(root, id, 0, content));
}
