/** Attributes on the wire: fuse_attr, fuse_attr_out and fuse_entry_out. */
import { type Attributes, exactSize, type FileId, FileType } from "../file-system.ts";
import type { MountContext } from "./mount-context.ts";

/** A hint to programs: a write is a request, and stdio makes half as many when this is more than a page. */
const preferredBlockBytes = 65_536;

/** Linux's encoding of device numbers (new_encode_dev): 12 bits of major, 20 bits of minor. */
export function encodeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xfff00) << 12)) >>> 0;
}

export function decodeDevice(device: number): { major: number; minor: number } {
  return { major: (device >>> 8) & 0xfff, minor: (device & 0xff) | ((device >>> 12) & 0xfff00) };
}

function putAttributes({ reply }: MountContext, attributes: Attributes): void {
  reply.long(attributes.id);
  reply.offset(exactSize(attributes));
  reply.long(Math.ceil(attributes.used / 512));
  reply.long(attributes.accessed.seconds);
  reply.long(attributes.modified.seconds);
  reply.long(attributes.changed.seconds);
  reply.word(attributes.accessed.nanoseconds);
  reply.word(attributes.modified.nanoseconds);
  reply.word(attributes.changed.nanoseconds);
  reply.word(attributes.mode);
  reply.word(attributes.links);
  reply.word(attributes.uid);
  reply.word(attributes.gid);
  reply.word(encodeDevice(attributes.deviceMajor, attributes.deviceMinor));
  reply.word(preferredBlockBytes);
  reply.word(0);
}

/** fuse_attr_out. */
export function replyAttributes(context: MountContext, id: FileId): void {
  const attributes = context.fileSystem.getAttributes(id);
  context.reply.long(context.validSeconds);
  context.reply.long(0);
  putAttributes(context, attributes);
}

/** fuse_entry_out: after this reply the kernel knows the inode once more. */
export function replyEntry(context: MountContext, id: FileId): Attributes {
  const attributes = context.fileSystem.getAttributes(id);
  const { reply, validSeconds } = context;
  reply.long(context.nodes.nodeOf(id));
  reply.long(0);
  reply.long(validSeconds);
  reply.long(validSeconds);
  reply.long(0);
  putAttributes(context, attributes);
  reply.grants.push({ id, isDirectory: (attributes.mode & FileType.mask) === FileType.directory });
  return attributes;
}

/** fuse_entry_out of a name that is not there, which the kernel may believe as long as one that is. */
export function replyAbsent({ reply, validSeconds }: MountContext): void {
  reply.zeros(16);
  reply.long(validSeconds);
  reply.zeros(entryBytes - 24);
}

export const entryBytes = 128;
