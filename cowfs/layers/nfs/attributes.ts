/** What NFSv3 says of an object (RFC 1813 sections 2.5 and 2.6), as a client reads and writes it. */
import { type Errno, FileSystemError } from "../../errors.ts";
import { type AttributeChange, FileType, type Time } from "../../file-system.ts";
import { Status } from "../../nfs/status.ts";
import type { XdrReader, XdrWriter } from "../../nfs/xdr.ts";
import { requireSmall } from "../../offsets.ts";
import type { LiveAttributes } from "../live/live-files.ts";

export const maxHandleBytes = 64;

/** By ftype3. */
const types = [
  0,
  FileType.regular,
  FileType.directory,
  FileType.block,
  FileType.character,
  FileType.symlink,
  FileType.socket,
  FileType.fifo,
];

export function readAttributes(reader: XdrReader): LiveAttributes {
  const type = types[reader.readUint32()] || undefined;
  if (type === undefined) throw new FileSystemError("EIO", "a type of file that NFSv3 has not");
  const mode = type | (reader.readUint32() & 0o7777);
  const [links, uid, gid] = [reader.readUint32(), reader.readUint32(), reader.readUint32()];
  const [size, used] = [reader.readUint64(), reader.readUint64()];
  const [deviceMajor, deviceMinor] = [reader.readUint32(), reader.readUint32()];
  // fsid and fileid: the handle says more.
  reader.readUint64();
  reader.readUint64();
  const [accessed, modified, changed] = [readTime(reader), readTime(reader), readTime(reader)];
  return { mode, links, uid, gid, size, used, deviceMajor, deviceMinor, accessed, modified, changed };
}

export function readPostAttributes(reader: XdrReader): LiveAttributes | undefined {
  return reader.readBoolean() ? readAttributes(reader) : undefined;
}

export function skipWccData(reader: XdrReader): LiveAttributes | undefined {
  if (reader.readBoolean()) for (let word = 0; word < 6; word++) reader.readUint32();
  return readPostAttributes(reader);
}

export function readHandle(reader: XdrReader): string {
  return reader.readString(maxHandleBytes);
}

function readTime(reader: XdrReader): Time {
  const seconds = reader.readUint32();
  return { seconds, nanoseconds: Math.min(reader.readUint32(), 999_999_999) };
}

/** sattr3. */
export function writeChange(writer: XdrWriter, { mode, uid, gid, size, accessed, modified }: AttributeChange): void {
  for (const word of [mode, uid, gid]) {
    writer.writeBoolean(word !== undefined);
    if (word !== undefined) writer.writeUint32(word);
  }
  writer.writeBoolean(size !== undefined);
  if (size !== undefined) writer.writeUint64(requireSmall(size));
  for (const time of [accessed, modified]) {
    writer.writeUint32(time === undefined ? 0 : time === "now" ? 1 : 2);
    if (time === undefined || time === "now") continue;
    writer.writeUint32(Math.min(Math.max(time.seconds, 0), 0xffffffff));
    writer.writeUint32(time.nanoseconds);
  }
}

const errnos: ReadonlyMap<number, Errno> = new Map<number, Errno>([
  [Status.perm, "EPERM"],
  [Status.noent, "ENOENT"],
  [Status.acces, "EACCES"],
  [Status.exist, "EEXIST"],
  [Status.xdev, "EXDEV"],
  [Status.notdir, "ENOTDIR"],
  [Status.isdir, "EISDIR"],
  [Status.inval, "EINVAL"],
  [Status.fbig, "EFBIG"],
  [Status.nospc, "ENOSPC"],
  [Status.rofs, "EROFS"],
  [Status.mlink, "EMLINK"],
  [Status.nametoolong, "ENAMETOOLONG"],
  [Status.notempty, "ENOTEMPTY"],
  [Status.dquot, "EDQUOT"],
  [Status.stale, "ESTALE"],
  [Status.badhandle, "ESTALE"],
  [Status.notsupp, "ENOTSUP"],
  [Status.badtype, "ENOTSUP"],
]);

export function errorOf(status: number): FileSystemError {
  return new FileSystemError(errnos.get(status) ?? "EIO", `the server answers NFS status ${status}`);
}
