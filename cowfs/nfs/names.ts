/** filename3 arguments: read whatever their length, then held to what a directory entry can be. */
import type { Name } from "../file-system.ts";
import { maxNameBytes, maxRecordBytes } from "./limits.ts";
import { exists, invalid, type NfsError, nameTooLong, noEntry } from "./status.ts";
import type { XdrReader } from "./xdr.ts";

const slash = 0x2f;

/** A name to look up: `.` and `..` pass. */
export function readName(reader: XdrReader): Name {
  const start = reader.position + 4;
  const length = reader.skipOpaque(maxRecordBytes);
  if (length > maxNameBytes) throw nameTooLong;
  if (length === 0) throw noEntry;
  const bytes = reader.bytes;
  for (let i = start; i < start + length; i++) {
    if (bytes[i] === slash || bytes[i] === 0) throw invalid;
  }
  return bytes.toString("latin1", start, start + length);
}

/** A name to make: the dots are there already. */
export function readNewName(reader: XdrReader): Name {
  return refuseDots(readName(reader), exists, exists);
}

/** A name to take away or to move. */
export function readOldName(reader: XdrReader): Name {
  return refuseDots(readName(reader), invalid, invalid);
}

/** RFC 1813 section 3.3.13 has an error for each of the dots. */
export function readDirectoryNameToRemove(reader: XdrReader): Name {
  return refuseDots(readName(reader), invalid, exists);
}

function refuseDots(name: Name, forDot: NfsError, forDotDot: NfsError): Name {
  if (name === ".") throw forDot;
  if (name === "..") throw forDotDot;
  return name;
}
