/**
 * READDIR and READDIRPLUS (RFC 1813 sections 3.3.16 and 3.3.17).
 *
 * (L1) A result never exceeds the client's `count` or `maxcount`, and is empty only with eof set: where not even one
 *      entry fits, the answer is TOOSMALL.
 * (L2) Cookies are the file system's own, for ever valid, so the verifier is always 0 and never looked at: Linux clients
 *      start over, some of them for ever, when a verifier changes under them.
 * (L3) `.` and `..` come first, as cookies 1 and 2; the file system's cookies follow, 2 higher.
 */
import { Access, type DirectoryEntry, type FileId, FileType } from "../../file-system.ts";
import { findAttributes, postAttributesBytes, writePostAttributes } from "../attributes.ts";
import { handleXdrBytes } from "../handles.ts";
import { maxDirectoryBytes } from "../limits.ts";
import { badCookie, NfsError, Status, tooSmall } from "../status.ts";
import type { XdrReader, XdrWriter } from "../xdr.ts";
import { failWithAttributes } from "./failures.ts";
import type { Procedure, Request, Service } from "./procedure.ts";

/** Before the entries: directory attributes, verifier; after them: end of list, eof. The status is not counted. */
const fixedBytes = postAttributesBytes + 8 + 8;
/** An entry without its name: present mark, fileid, name length, cookie. */
const entryBytes = 4 + 8 + 4 + 8;
const plusBytes = postAttributesBytes + 4 + handleXdrBytes;
/** The part of an entry that `dircount` counts, without its name. */
const informationBytes = 8 + 4 + 8;
const dotsOffset = 2;
const superuser = { uid: 0, gid: 0, groups: [] };

export const readDirectory: Procedure = {
  name: "READDIR",
  effect: "none",
  run(service, request, args, reply) {
    const { directory, cookie } = readPlace(service, request, args);
    const maxBytes = args.readUint32();
    writeListing(service, request, reply, { directory, cookie, maxBytes, maxInformation: maxBytes, plus: false });
  },
  fail: failWithAttributes,
};

export const readDirectoryPlus: Procedure = {
  name: "READDIRPLUS",
  effect: "none",
  run(service, request, args, reply) {
    const { directory, cookie } = readPlace(service, request, args);
    const maxInformation = args.readUint32();
    const maxBytes = args.readUint32();
    writeListing(service, request, reply, { directory, cookie, maxBytes, maxInformation, plus: true });
  },
  fail: failWithAttributes,
};

interface Range {
  readonly directory: FileId;
  /** As the client sent it: 2 higher than the file system's. */
  readonly cookie: number;
  readonly maxBytes: number;
  readonly maxInformation: number;
  readonly plus: boolean;
}

function readPlace(service: Service, request: Request, args: XdrReader): { directory: FileId; cookie: number } {
  const directory = service.handles.read(args);
  request.first = directory;
  const cookie = args.readUint64();
  if (cookie > Number.MAX_SAFE_INTEGER) throw badCookie;
  args.readUint64();
  return { directory, cookie };
}

function writeListing(service: Service, request: Request, reply: XdrWriter, range: Range): void {
  const { directory, plus } = range;
  const attributes = service.fileSystem.getAttributes(directory);
  if ((attributes.mode & FileType.mask) !== FileType.directory) throw new NfsError(Status.notdir);
  const room = Math.min(range.maxBytes, maxDirectoryBytes) - fixedBytes;
  if (room < 0) throw tooSmall;
  reply.ensure(4 + fixedBytes + room);
  reply.writeUint32(Status.ok);
  writePostAttributes(service, reply, attributes);
  reply.writeUint64(0);
  const key = `${plus ? "+" : "-"}${directory}:${range.cookie}:${room}:${range.maxInformation}`;
  const kept = service.directoryPages.find(key);
  if (kept !== undefined && isReadable(service, request, directory)) {
    reply.writeBytes(kept);
    return;
  }
  const start = reply.position;
  writeEntries(service, request, reply, range, room);
  service.directoryPages.keep(key, reply.bytes.subarray(start, reply.position));
}

/** A page that one caller's listing left is shown only to those who may list the directory. */
function isReadable(service: Service, request: Request, directory: FileId): boolean {
  return (service.fileSystem.access(request.caller, directory, Access.read) & Access.read) !== 0;
}

function writeEntries(service: Service, request: Request, reply: XdrWriter, range: Range, room: number): void {
  const perEntry = entryBytes + 4 + (range.plus ? plusBytes : 0);
  const most = Math.min(room / perEntry, range.maxInformation / (informationBytes + 4));
  const limit = Math.floor(most) + 1;
  // Asked for even where only the dots are wanted: it checks the permission, and may fault, before anything is written.
  const cookie = Math.max(0, range.cookie - dotsOffset);
  const entries = service.fileSystem.list(request.caller, range.directory, cookie, limit);
  const page: Page = { service, reply, plus: range.plus, room, information: range.maxInformation, count: 0 };
  let complete = true;
  for (const entry of dotsAfter(service, range)) complete &&= writeEntry(page, entry, 0);
  for (let i = 0; complete && i < entries.length; i++) complete = writeEntry(page, entries[i], dotsOffset);
  if (!complete && page.count === 0) throw tooSmall;
  reply.writeUint32(0);
  reply.writeBoolean(complete && entries.length < limit);
}

function dotsAfter(service: Service, range: Range): DirectoryEntry[] {
  const dots: DirectoryEntry[] = [];
  if (range.cookie < 1) dots.push({ name: ".", id: range.directory, cookie: 1 });
  if (range.cookie < 2) {
    // As root: who may list a directory sees its `..`, also without the right to search it.
    const parent = service.fileSystem.lookup(superuser, range.directory, "..");
    dots.push({ name: "..", id: parent, cookie: 2 });
  }
  return dots;
}

interface Page {
  readonly service: Service;
  readonly reply: XdrWriter;
  readonly plus: boolean;
  /** Bytes that are left of the result's bound, and of `dircount`. */
  room: number;
  information: number;
  count: number;
}

/** Returns false, having written nothing, when the entry does not fit. */
function writeEntry(page: Page, entry: DirectoryEntry, cookieOffset: number): boolean {
  const { service, reply, plus } = page;
  const nameBytes = (entry.name.length + 3) & ~3;
  const bytes = entryBytes + nameBytes + (plus ? plusBytes : 0);
  if (bytes > page.room) return false;
  // `dircount` is a hint: one entry is always given, or a client with a small one would never get anywhere.
  if (page.count > 0 && informationBytes + nameBytes > page.information) return false;
  page.room -= bytes;
  page.information -= informationBytes + nameBytes;
  page.count++;
  reply.writeUint32(1);
  reply.writeUint64(entry.id);
  reply.writeString(entry.name);
  reply.writeUint64(entry.cookie + cookieOffset);
  if (!plus) return true;
  const attributes = findAttributes(service, entry.id);
  if (attributes === undefined) {
    // No attributes and no handle: the client looks the name up itself.
    reply.writeUint64(0);
    return true;
  }
  writePostAttributes(service, reply, attributes);
  reply.writeUint32(1);
  service.handles.write(reply, entry.id);
  return true;
}
