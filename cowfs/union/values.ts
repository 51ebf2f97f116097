/** Which names, numbers and times may be asked for: all of them come from clients. */
import { FileSystemError } from "../errors.ts";
import type { AttributeChange, Name, Time } from "../file-system.ts";
import { toOffset } from "../offsets.ts";

const maxNameBytes = 255;
const maxTargetBytes = 4095;
/** In chown(2) it means "leave it": it is nobody's number. */
const noOwner = 0xffffffff;

/** A name that an entry can have, or `.` or `..`. */
export function requireName(name: Name): void {
  if (name.length > maxNameBytes) throw new FileSystemError("ENAMETOOLONG");
  if (name === "" || name.includes("/") || name.includes("\0")) throw new FileSystemError("EINVAL");
}

export function isDots(name: Name): boolean {
  return name === "." || name === "..";
}

export function requireTarget(target: Name): void {
  if (target === "") throw new FileSystemError("ENOENT");
  if (target.length > maxTargetBytes) throw new FileSystemError("ENAMETOOLONG");
  if (target.includes("\0")) throw new FileSystemError("EINVAL");
}

export function requireDeviceNumber(number: number): void {
  if (number !== number >>> 0) throw new FileSystemError("EINVAL");
}

export function requireValidChange(change: AttributeChange): void {
  const { mode, uid, gid, size, accessed, modified } = change;
  if (mode !== undefined && (mode & ~0o7777) !== 0) throw new FileSystemError("EINVAL");
  if (uid !== undefined) requireOwner(uid);
  if (gid !== undefined) requireOwner(gid);
  if (size !== undefined) toOffset(size);
  if (accessed !== undefined && accessed !== "now") requireTime(accessed);
  if (modified !== undefined && modified !== "now") requireTime(modified);
}

function requireOwner(id: number): void {
  if (!Number.isInteger(id) || id < 0 || id >= noOwner) throw new FileSystemError("EINVAL");
}

function requireTime({ seconds, nanoseconds }: Time): void {
  const valid = Number.isSafeInteger(seconds) && Number.isInteger(nanoseconds) && nanoseconds >= 0 && nanoseconds < 1e9;
  if (!valid) throw new FileSystemError("EINVAL");
}
