/**
 * Writes an initramfs: a cpio archive in the "newc" format that the kernel unpacks
 * (Documentation/driver-api/early-userspace/buffer-format.rst).
 *
 * The same entries give the same bytes: inode numbers are counted, times are zero, everything is root's.
 */
export type ArchiveEntry =
  | { readonly path: string; readonly kind: "directory" }
  | { readonly path: string; readonly kind: "file"; readonly mode: number; readonly data: Buffer }
  | { readonly path: string; readonly kind: "symlink"; readonly target: string }
  | { readonly path: string; readonly kind: "character"; readonly major: number; readonly minor: number };

export function writeArchive(entries: readonly ArchiveEntry[]): Buffer {
  const parts = entries.flatMap((entry, index) => encodeEntry(entry, index + 1));
  parts.push(...encodeMember({ inode: 0, mode: 0, major: 0, minor: 0, path: "TRAILER!!!", data: Buffer.alloc(0) }));
  return Buffer.concat(parts);
}

function encodeEntry(entry: ArchiveEntry, inode: number): Buffer[] {
  const common = { inode, path: entry.path, major: 0, minor: 0, data: Buffer.alloc(0) };
  switch (entry.kind) {
    case "directory":
      return encodeMember({ ...common, mode: 0o040755 });
    case "file":
      return encodeMember({ ...common, mode: 0o100000 | entry.mode, data: entry.data });
    case "symlink":
      return encodeMember({ ...common, mode: 0o120777, data: Buffer.from(entry.target) });
    case "character":
      return encodeMember({ ...common, mode: 0o020600, major: entry.major, minor: entry.minor });
  }
}

interface Member {
  inode: number;
  mode: number;
  major: number;
  minor: number;
  path: string;
  data: Buffer;
}

function encodeMember({ inode, mode, major, minor, path, data }: Member): Buffer[] {
  const name = Buffer.from(`${path}\0`);
  // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
  const fields = [inode, mode, 0, 0, 1, 0, data.length, 0, 0, major, minor, name.length, 0];
  const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`);
  return [header, name, padding(header.length + name.length), data, padding(data.length)];
}

function padding(length: number): Buffer {
  return Buffer.alloc(-length & 3);
}
