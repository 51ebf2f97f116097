/**
 * What may be called what: a name is 1 to 255 bytes without `/` and NUL; a link target 1 to 4095 bytes without NUL.
 * `.` and `..` are names that only lookup takes; what the others answer is Linux's answer, see the callers.
 */
import { FileSystemError } from "../../../cowfs/errors.ts";
import type { Name } from "../../../cowfs/file-system.ts";

export function checkName(name: Name): void {
  if (name.length > 255) throw new FileSystemError("ENAMETOOLONG");
  if (name === "" || name.includes("/") || name.includes("\0")) throw new FileSystemError("EINVAL");
}

export function isDots(name: Name): boolean {
  return name === "." || name === "..";
}

export function checkLinkTarget(target: Name): void {
  if (target === "") throw new FileSystemError("ENOENT");
  if (target.length > 4095) throw new FileSystemError("ENAMETOOLONG");
  if (target.includes("\0")) throw new FileSystemError("EINVAL");
}

/** xattr(7): only these namespaces exist here; POSIX ACLs (`system.`) do not. */
export function checkExtendedName(name: Name): void {
  if (name.length > 255) throw new FileSystemError("ERANGE");
  const dot = name.indexOf(".");
  if (!["user", "trusted", "security"].includes(name.slice(0, dot))) throw new FileSystemError("ENOTSUP");
  if (dot === name.length - 1 || name.includes("\0")) throw new FileSystemError("EINVAL");
}
