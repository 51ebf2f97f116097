/**
 * Reads a tar archive as a stream of members: ustar, pax and GNU tar's long names and large numbers.
 *
 * Our own, because tar-stream decodes extended headers as UTF-8, which destroys binary attributes (cap_setuid is the
 * byte 0x80), and takes an archive that was cut off between two members for a whole one.
 *
 * The archive is hostile: nothing is read into memory but headers, which are bounded; a member's name is refused when
 * no file could have it. Where a name leads is not judged here.
 */
import { XenoError } from "../../../cowfs/errors.ts";
import type { Name, Time } from "../../../cowfs/file-system.ts";
import { ByteReader } from "./byte-reader.ts";
import { applyPaxRecords, decodePaxRecords, type PaxRecords } from "./pax-records.ts";
import { BadTar, blockBytes, decodeHeader, type TarHeader } from "./tar-header.ts";

export type TarMemberType = "file" | "hardlink" | "symlink" | "character" | "block" | "directory" | "fifo";

export interface TarMember {
  /** As it is in the archive. */
  readonly path: Name;
  readonly type: TarMemberType;
  /** The bits 07777. */
  readonly permissions: number;
  readonly uid: number;
  readonly gid: number;
  readonly modified: Time;
  readonly size: number;
  /** Of symbolic and hard links. */
  readonly target: Name;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  readonly attributes: Map<Name, Buffer>;
  /** The file's bytes. What is not read when the next member is asked for is skipped. */
  readonly content: AsyncIterable<Buffer>;
}

/** The longest extended header or long name; 64 KiB of attributes and two paths fit many times. */
const maxHeaderBytes = 2 ** 20;
/** PATH_MAX. */
export const maxPathBytes = 4096;

const types: Record<string, TarMemberType> = {
  "0": "file",
  "1": "hardlink",
  "2": "symlink",
  "3": "character",
  "4": "block",
  "5": "directory",
  "6": "fifo",
  "7": "file",
};

/** Throws XenoError `tar-refused` naming the member, or its place where it has no name. */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarMember> {
  const reader = new ByteReader(source);
  const globals: PaxRecords = new Map();
  let overrules: PaxRecords = new Map();
  let longName: Name | undefined;
  let longLink: Name | undefined;
  let known = "the archive's first member";
  try {
    for (;;) {
      const block = await reader.read(blockBytes);
      if (block.length < blockBytes) throw new BadTar("the archive ends here without its end mark: it was cut off");
      const header = decodeHeader(block);
      if (header === undefined) break;
      known = longName ?? header.name;
      if (header.size < 0) throw new BadTar("its size is negative");
      if ("xgLK".includes(header.type)) {
        const data = await readHeaderData(reader, header.size);
        if (header.type === "g") decodePaxRecords(data, globals);
        if (header.type === "x") {
          overrules = new Map(globals);
          decodePaxRecords(data, overrules);
        }
        if (header.type === "L") longName = upToNul(data);
        if (header.type === "K") longLink = upToNul(data);
        continue;
      }
      if (longName !== undefined) header.name = longName;
      if (longLink !== undefined) header.linkName = longLink;
      const extras = applyPaxRecords(header, overrules.size > 0 ? overrules : globals);
      [longName, longLink, overrules] = [undefined, undefined, new Map()];
      known = header.name;
      // A volume's label is no file.
      if (header.type !== "V") {
        const content = new MemberContent(reader, hasContent(header) ? header.size : 0);
        yield toMember(header, extras, content);
        await content.skipRest();
        if (!hasContent(header)) await skipExactly(reader, header.size);
      }
      await skipExactly(reader, (blockBytes - (header.size % blockBytes)) % blockBytes);
      known = `what follows ${known}`;
    }
    // A pipe's writer must see its last bytes taken.
    await reader.skip(Number.MAX_SAFE_INTEGER);
  } catch (error) {
    if (error instanceof BadTar) throw refuseTar(known, error.message, error);
    throw error;
  } finally {
    await reader.close();
  }
}

/** `known` names the member. */
export function refuseTar(known: string, reason: string, cause?: unknown): XenoError {
  return new XenoError("tar-refused", `${printable(known)}: ${reason}`, {
    hint: "nothing was imported; make the archive anew from a source that you trust",
    cause,
  });
}

function toMember(
  header: TarHeader,
  extras: { nanoseconds: number; attributes: Map<Name, Buffer> },
  content: MemberContent,
): TarMember {
  const isOldDirectory = header.type === "0" && header.name.endsWith("/");
  const type = isOldDirectory ? "directory" : types[header.type];
  if (type === undefined) throw new BadTar(`members of type ${JSON.stringify(header.type)} are not understood`);
  if (header.name === "") throw new BadTar("it has no name");
  if (header.name.length > maxPathBytes) throw new BadTar(`its name is longer than ${maxPathBytes} bytes`);
  if (header.linkName.length >= maxPathBytes) throw new BadTar(`its target is longer than ${maxPathBytes - 1} bytes`);
  if ((type === "symlink" || type === "hardlink") && header.linkName === "") throw new BadTar("it links to nothing");
  const numbers = {
    owner: header.uid,
    group: header.gid,
    device: header.deviceMajor,
    "device's number": header.deviceMinor,
  };
  for (const [what, value] of Object.entries(numbers))
    if (value < 0 || value >= 2 ** 32) throw new BadTar(`its ${what} ${value} is out of range`);
  return {
    path: header.name,
    type,
    permissions: header.mode & 0o7777,
    uid: header.uid,
    gid: header.gid,
    modified: { seconds: header.modifiedSeconds, nanoseconds: extras.nanoseconds },
    size: hasContent(header) ? header.size : 0,
    target: header.linkName,
    deviceMajor: header.deviceMajor,
    deviceMinor: header.deviceMinor,
    attributes: extras.attributes,
    content,
  };
}

/** Other types may carry a size too; the bytes that follow are then nobody's content. */
function hasContent(header: TarHeader): boolean {
  return types[header.type] === "file" && !header.name.endsWith("/");
}

class MemberContent implements AsyncIterable<Buffer> {
  readonly #reader: ByteReader;
  #left: number;

  constructor(reader: ByteReader, size: number) {
    this.#reader = reader;
    this.#left = size;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    while (this.#left > 0) {
      // One piece a turn: a reader that stops early leaves the count right.
      const part = await this.#reader.readSome(this.#left);
      if (part === undefined) throw new BadTar("the archive ends within its content: it was cut off");
      this.#left -= part.length;
      yield part;
    }
  }

  async skipRest(): Promise<void> {
    const left = this.#left;
    this.#left = 0;
    await skipExactly(this.#reader, left);
  }
}

async function skipExactly(reader: ByteReader, length: number): Promise<void> {
  if ((await reader.skip(length)) < length) throw new BadTar("the archive ends within it: it was cut off");
}

async function readHeaderData(reader: ByteReader, size: number): Promise<Buffer> {
  if (size > maxHeaderBytes) throw new BadTar(`its extended header has ${size} bytes; the limit is ${maxHeaderBytes}`);
  const data = await reader.read(size);
  if (data.length < size) throw new BadTar("the archive ends within its extended header: it was cut off");
  await skipExactly(reader, (blockBytes - (size % blockBytes)) % blockBytes);
  return data;
}

function upToNul(data: Buffer): Name {
  const end = data.indexOf(0);
  return data.toString("latin1", 0, end === -1 ? data.length : end);
}

/** Names are bytes; terminals get them as UTF-8 without control characters, and not endlessly. */
function printable(name: Name): string {
  const text = Buffer.from(name, "latin1")
    .toString("utf8")
    .replace(/\p{Cc}/gu, "?");
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
