/** What files show of their objects is checked here: a remote server may claim anything. */
import { FileSystemError } from "../../errors.ts";
import { FileType, type Name } from "../../file-system.ts";
import { type LiveAttributes, type LiveObject, maxIdentityBytes } from "./live-files.ts";
import type { Sighting } from "./number-table.ts";

export function isDirectory({ attributes }: LiveObject): boolean {
  return (attributes.mode & FileType.mask) === FileType.directory;
}

/** Whether a file may have the name. */
export function isName(name: Name): boolean {
  return name.length > 0 && name.length <= 255 && name !== "." && name !== ".." && !/[/\0]/.test(name);
}

/** What its inode number is kept by. Throws EIO for an identity that is too long. */
export function sight(parent: number, name: Name, object: LiveObject): Sighting {
  if (object.identity.length > maxIdentityBytes) throw new FileSystemError("EIO", "an identity is too long");
  return { parent, name, identity: object.identity, hasOneName: isDirectory(object) || object.attributes.links < 2 };
}

/** Sizes beyond what offsets can say are cut. */
export function requireSane(attributes: LiveAttributes): LiveAttributes {
  const { size } = attributes;
  if (Number.isSafeInteger(size) && size >= 0) return attributes;
  return { ...attributes, size: size > 0 ? Number.MAX_SAFE_INTEGER : 0 };
}
