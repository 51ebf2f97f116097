/**
 * Extended headers (pax(1), "pax Extended Header"): records of `LENGTH KEYWORD=VALUE\n` that overrule fields of the next
 * header. Values stay bytes: an extended attribute such as security.capability is no text.
 */
import type { Name, Time } from "../../../cowfs/file-system.ts";
import { BadTar, type TarHeader } from "./tar-header.ts";

export type PaxRecords = Map<string, Buffer>;

const attributePrefix = "SCHILY.xattr.";

/** Adds the records of one extended header to those in force; an empty value takes a record back. Throws BadTar. */
export function decodePaxRecords(data: Buffer, records: PaxRecords): void {
  for (let at = 0; at < data.length; ) {
    const space = data.indexOf(0x20, at);
    const digits = space === -1 ? "" : data.toString("latin1", at, space);
    const end = at + Number(digits);
    if (!/^[1-9]\d{0,9}$/.test(digits) || end > data.length || end <= space + 1 || data[end - 1] !== 0x0a)
      throw new BadTar("its extended header is damaged");
    const equals = data.indexOf(0x3d, space);
    if (equals === -1 || equals >= end) throw new BadTar("its extended header has a record without a value");
    const keyword = data.toString("latin1", space + 1, equals);
    const value = data.subarray(equals + 1, end - 1);
    if (value.length === 0 && !keyword.startsWith(attributePrefix)) records.delete(keyword);
    else records.set(keyword, value);
    at = end;
  }
}

/** Overrules the fields of a header in place. Returns what has no field there. Throws BadTar. */
export function applyPaxRecords(
  header: TarHeader,
  records: PaxRecords,
): { nanoseconds: number; attributes: Map<Name, Buffer> } {
  const attributes = new Map<Name, Buffer>();
  let nanoseconds = 0;
  for (const [keyword, value] of records) {
    const text = value.toString("latin1");
    if (keyword === "path") header.name = withoutNul(text);
    else if (keyword === "linkpath") header.linkName = withoutNul(text);
    else if (keyword === "size") header.size = wholeNumber(text, keyword);
    else if (keyword === "uid") header.uid = wholeNumber(text, keyword);
    else if (keyword === "gid") header.gid = wholeNumber(text, keyword);
    else if (keyword === "mtime") {
      const time = parseTime(text);
      header.modifiedSeconds = time.seconds;
      nanoseconds = time.nanoseconds;
    } else if (keyword.startsWith(attributePrefix)) {
      attributes.set(withoutNul(keyword.slice(attributePrefix.length)), Buffer.from(value));
    } else if (keyword.startsWith("GNU.sparse.")) {
      throw new BadTar("it is stored as a sparse file; archive it without --sparse");
    }
  }
  return { nanoseconds, attributes };
}

function withoutNul(text: string): string {
  if (text.includes("\0")) throw new BadTar("a name holds a NUL");
  return text;
}

function wholeNumber(text: string, keyword: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new BadTar(`its ${keyword} is not a number`);
  return Number(text);
}

/** Decimal seconds, possibly negative: -1.25 is 750 ms after second -2. */
function parseTime(text: string): Time {
  const match = /^(-?)(\d{1,15})(?:\.(\d*))?$/.exec(text);
  if (match === null) throw new BadTar("its time is not a number");
  const [, sign, whole, fraction = ""] = match;
  const seconds = Number(whole);
  const nanoseconds = Number(fraction.padEnd(9, "0").slice(0, 9));
  if (sign === "") return { seconds, nanoseconds };
  return nanoseconds === 0
    ? { seconds: 0 - seconds, nanoseconds }
    : { seconds: -seconds - 1, nanoseconds: 1e9 - nanoseconds };
}
