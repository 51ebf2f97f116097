/**
 * The 512-byte block before each member of a tar archive: POSIX ustar (pax(1), "ustar Interchange Format") and GNU tar's
 * dialect of it (tar(5)), which differs in the magic, in having no prefix, and in numbers in base 256.
 */
import type { Name } from "../../../cowfs/file-system.ts";

export const blockBytes = 512;

export interface TarHeader {
  name: Name;
  /** The type flag, one char; "0" where the archive has NUL. */
  type: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  modifiedSeconds: number;
  linkName: Name;
  deviceMajor: number;
  deviceMinor: number;
}

/** Why a header is refused; the reader adds which member it is. */
export class BadTar extends Error {}

/** Returns undefined for a block of zeros. Throws BadTar. */
export function decodeHeader(block: Buffer): TarHeader | undefined {
  if (block.every((byte) => byte === 0)) return undefined;
  checkSum(block);
  const magic = text(block, 257, 6);
  const type = block[156] === 0 ? "0" : String.fromCharCode(block[156]);
  // GNU tar has other things than a prefix at 345.
  const prefix = magic === "ustar" ? text(block, 345, 155) : "";
  const name = text(block, 0, 100);
  return {
    name: prefix === "" ? name : `${prefix}/${name}`,
    type,
    mode: number(block, 100, 8, "mode"),
    uid: number(block, 108, 8, "owner"),
    gid: number(block, 116, 8, "group"),
    size: number(block, 124, 12, "size"),
    modifiedSeconds: number(block, 136, 12, "time"),
    linkName: text(block, 157, 100),
    deviceMajor: magic.startsWith("ustar") ? number(block, 329, 8, "device") : 0,
    deviceMinor: magic.startsWith("ustar") ? number(block, 337, 8, "device") : 0,
  };
}

/** The sum of all bytes with the sum's own field as blanks; old programs summed signed chars. */
function checkSum(block: Buffer): void {
  let unsigned = 0;
  let signed = 0;
  for (let i = 0; i < blockBytes; i++) {
    const byte = i >= 148 && i < 156 ? 0x20 : block[i];
    unsigned += byte;
    signed += byte > 127 ? byte - 256 : byte;
  }
  const sum = number(block, 148, 8, "checksum");
  if (sum !== unsigned && sum !== signed) throw new BadTar("its header's checksum is wrong");
}

function text(block: Buffer, offset: number, length: number): Name {
  const field = block.subarray(offset, offset + length);
  const end = field.indexOf(0);
  return field.toString("latin1", 0, end === -1 ? length : end);
}

function number(block: Buffer, offset: number, length: number, what: string): number {
  const field = block.subarray(offset, offset + length);
  if (field[0] & 0x80) return base256(field, what);
  const digits = text(field, 0, length).trim();
  if (!/^[0-7]*$/.test(digits)) throw new BadTar(`its ${what} is not a number`);
  return digits === "" ? 0 : Number.parseInt(digits, 8);
}

/** Two's complement, big-endian, with the first bit as the mark of this form. */
function base256(field: Buffer, what: string): number {
  const negative = (field[0] & 0x40) !== 0;
  let value = BigInt(negative ? (field[0] | 0x80) - 256 : field[0] & 0x7f);
  for (const byte of field.subarray(1)) value = value * 256n + BigInt(byte);
  const result = Number(value);
  if (!Number.isSafeInteger(result)) throw new BadTar(`its ${what} is out of range`);
  return result;
}
