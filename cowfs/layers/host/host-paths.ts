/**
 * Walking a host's directories without being led out of them.
 *
 * Each component is opened from the directory before it and no link is followed: Node has no openat(2), but
 * `/proc/self/fd/N/name` names what lies in an open directory, whatever its own path has become (proc(5)). Objects are
 * opened with O_PATH first, which has no effect on devices and fifos, looked at, and opened in earnest through their
 * descriptor: nothing can be swapped between look and use.
 */
import { constants } from "node:fs";
import fs, { type FileHandle } from "node:fs/promises";
import { type Errno, FileSystemError, XenoError } from "../../errors.ts";
import type { Name } from "../../file-system.ts";

/** open(2); Node does not name it. */
const O_PATH = 0o10000000;
const { O_DIRECTORY, O_NOFOLLOW } = constants;

/** The path of what lies under a name in an open directory; of the directory itself without one. */
export function pathIn(directory: FileHandle, name: Name = "."): Buffer {
  return Buffer.from(`/proc/self/fd/${directory.fd}/${name}`, "latin1");
}

/** The path of an open object, also of a link. */
export function pathOf(object: FileHandle): string {
  return `/proc/self/fd/${object.fd}`;
}

/** Opens a directory by its absolute path. ELOOP or ENOTDIR where one of the components is a link. */
export async function openAbsolute(path: string): Promise<FileHandle> {
  const top = await fs.open("/", O_PATH | O_DIRECTORY);
  const names = path.split("/").filter((name) => name !== "");
  return await walk(top, names);
}

/** Opens a directory below another, which stays open. */
export async function openBelow(root: FileHandle, names: readonly Name[]): Promise<FileHandle> {
  return await walk(await fs.open(pathIn(root), O_PATH | O_DIRECTORY), names);
}

/** Opens what lies under a name, without any effect on it. */
export async function openObject(directory: FileHandle, name: Name): Promise<FileHandle> {
  return await fs.open(pathIn(directory, name), O_PATH | O_NOFOLLOW);
}

/** `from` is closed, also where it fails. */
async function walk(from: FileHandle, names: readonly Name[]): Promise<FileHandle> {
  let at = from;
  for (const name of names) {
    let next: FileHandle;
    try {
      if (name === "" || name === "." || name === ".." || /[/\0]/.test(name)) throw new FileSystemError("EINVAL");
      next = await fs.open(pathIn(at, name), O_PATH | O_DIRECTORY | O_NOFOLLOW);
    } finally {
      await at.close();
    }
    at = next;
  }
  return at;
}

const errnos: ReadonlySet<string> = new Set<Errno>([
  ...([
    "EPERM",
    "ENOENT",
    "EACCES",
    "EEXIST",
    "EXDEV",
    "ENOTDIR",
    "EISDIR",
    "EINVAL",
    "EFBIG",
    "ENOSPC",
    "EROFS",
  ] as const),
  ...(["EMLINK", "ENAMETOOLONG", "ENOTEMPTY", "EDQUOT", "ESTALE", "ELOOP", "ENOTSUP", "EIO"] as const),
]);

/** What a system call failed with, as the file system's answer; whatever else was thrown, as it is. */
export function asAnswer(error: unknown): unknown {
  const { code } = error as { code?: string };
  if (error instanceof XenoError || code === undefined) return error;
  if (errnos.has(code)) return new FileSystemError(code as Errno, (error as Error).message);
  if (code === "EOPNOTSUPP") return new FileSystemError("ENOTSUP");
  return error;
}
