/** The attribute structures of NFSv3 (RFC 1813 section 2.6): fattr3, post_op_attr, wcc_data, sattr3. */
import { type AttributeChange, type Attributes, exactSize, type FileId, FileType, type Time } from "../file-system.ts";
import type { Offset } from "../offsets.ts";
import type { Service } from "./procedures/procedure.ts";
import { invalid } from "./status.ts";
import { XdrError, type XdrReader, type XdrWriter } from "./xdr.ts";

/** A post_op_attr at its longest. */
export const postAttributesBytes = 4 + 84;

const maxSeconds = 0xffffffff;
const badDiscriminant = new XdrError("a discriminant is none of those defined");

/** ftype3 by the S_IFMT bits, shifted down. */
const wireTypes = new Uint8Array(16);
wireTypes[FileType.regular >> 12] = 1;
wireTypes[FileType.directory >> 12] = 2;
wireTypes[FileType.block >> 12] = 3;
wireTypes[FileType.character >> 12] = 4;
wireTypes[FileType.symlink >> 12] = 5;
wireTypes[FileType.socket >> 12] = 6;
wireTypes[FileType.fifo >> 12] = 7;

export function writeAttributes(service: Service, writer: XdrWriter, attributes: Attributes): void {
  const mode = attributes.mode;
  writer.writeUint32(wireTypes[(mode >> 12) & 15]);
  writer.writeUint32(mode & 0o7777);
  writer.writeUint32(attributes.links);
  writer.writeUint32(attributes.uid);
  writer.writeUint32(attributes.gid);
  writer.writeOffset(exactSize(attributes));
  writer.writeUint64(attributes.used);
  writer.writeUint32(attributes.deviceMajor);
  writer.writeUint32(attributes.deviceMinor);
  writer.writeUint32(service.fsidHigh);
  writer.writeUint32(service.fsidLow);
  writer.writeUint64(attributes.id);
  writeTime(writer, attributes.accessed);
  writeTime(writer, attributes.modified);
  writeTime(writer, attributes.changed);
}

/** NFSv3 counts seconds in 32 unsigned bits: times outside are moved to the nearest it has. */
function writeTime(writer: XdrWriter, time: Time): void {
  const seconds = time.seconds;
  writer.writeUint32(seconds < 0 ? 0 : Math.min(seconds, maxSeconds));
  writer.writeUint32(seconds < 0 ? 0 : time.nanoseconds);
}

export function writePostAttributes(service: Service, writer: XdrWriter, attributes: Attributes): void {
  writer.writeUint32(1);
  writeAttributes(service, writer, attributes);
}

/** The attributes of an object as they are now, or that there are none, when it is gone or was never decoded. */
export function writePostAttributesOf(service: Service, writer: XdrWriter, id: FileId): void {
  const attributes = findAttributes(service, id);
  if (attributes === undefined) writer.writeUint32(0);
  else writePostAttributes(service, writer, attributes);
}

export function findAttributes(service: Service, id: FileId): Attributes | undefined {
  if (id < 0) return undefined;
  try {
    return service.fileSystem.getAttributes(id);
  } catch {
    // Optional on the wire, and not worth a fetch.
    return undefined;
  }
}

/**
 * What wcc_data says of an object before a change. Taken in the same synchronous run as the change, so that nothing
 * can come between them: the client may rely on it to keep its caches (RFC 1813 section 2.6).
 */
export interface Before {
  readonly size: Offset;
  readonly modified: Time;
  readonly changed: Time;
}

export function noteBefore(service: Service, id: FileId): Before {
  const attributes = service.fileSystem.getAttributes(id);
  const { modified, changed } = attributes;
  return { size: exactSize(attributes), modified, changed };
}

export function writeChangeData(service: Service, writer: XdrWriter, before: Before, id: FileId): void {
  writeBefore(writer, before);
  writePostAttributesOf(service, writer, id);
}

/** After a failure, which changed nothing: what is now is also what was before. */
export function writeUnchangedData(service: Service, writer: XdrWriter, id: FileId): void {
  const attributes = findAttributes(service, id);
  if (attributes === undefined) {
    writer.writeUint64(0);
    return;
  }
  writeBefore(writer, attributes);
  writePostAttributes(service, writer, attributes);
}

function writeBefore(writer: XdrWriter, before: Before): void {
  writer.writeUint32(1);
  writer.writeOffset(before.size);
  writeTime(writer, before.modified);
  writeTime(writer, before.changed);
}

/** sattr3. A size that no file can have is kept: the file system answers EFBIG or EINVAL. */
export function readAttributeChange(reader: XdrReader): AttributeChange {
  const change: AttributeChange = {};
  if (reader.readBoolean()) change.mode = reader.readUint32() & 0o7777;
  if (reader.readBoolean()) change.uid = reader.readUint32();
  if (reader.readBoolean()) change.gid = reader.readUint32();
  if (reader.readBoolean()) change.size = reader.readOffset();
  const accessed = readTimeChange(reader);
  if (accessed !== undefined) change.accessed = accessed;
  const modified = readTimeChange(reader);
  if (modified !== undefined) change.modified = modified;
  return change;
}

function readTimeChange(reader: XdrReader): Time | "now" | undefined {
  switch (reader.readUint32()) {
    case 0:
      return undefined;
    case 1:
      return "now";
    case 2:
      return readTime(reader);
    default:
      throw badDiscriminant;
  }
}

export function readTime(reader: XdrReader): Time {
  const seconds = reader.readUint32();
  const nanoseconds = reader.readUint32();
  if (nanoseconds > 999_999_999) throw invalid;
  return { seconds, nanoseconds };
}
