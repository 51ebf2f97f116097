/** NFSv3 arguments and results as the tests write and read them (RFC 1813 section 2.6 and 3.3). */
import type { Offset } from "../../../cowfs/offsets.ts";
import { type Decoder, type Encoder, encode } from "./encoder.ts";

export interface WireAttributes {
  readonly type: number;
  readonly mode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: Offset;
  readonly used: number;
  readonly device: readonly [number, number];
  readonly fsid: string;
  readonly id: number;
  readonly accessed: string;
  readonly modified: string;
  readonly changed: string;
}

export function readAttributes(from: Decoder): WireAttributes {
  return {
    type: from.u32(),
    mode: from.u32(),
    links: from.u32(),
    uid: from.u32(),
    gid: from.u32(),
    size: from.offset(),
    used: from.u64(),
    device: [from.u32(), from.u32()],
    fsid: from.raw(8).toString("hex"),
    id: from.u64(),
    accessed: readTime(from),
    modified: readTime(from),
    changed: readTime(from),
  };
}

export function readTime(from: Decoder): string {
  return `${from.u32()}.${String(from.u32()).padStart(9, "0")}`;
}

export interface ChangeData {
  readonly before: { readonly size: Offset; readonly modified: string; readonly changed: string } | undefined;
  readonly after: WireAttributes | undefined;
}

export function readChangeData(from: Decoder): ChangeData {
  const before = from.optional(() => ({ size: from.offset(), modified: readTime(from), changed: readTime(from) }));
  return { before, after: from.optional(readAttributes) };
}

export interface NewObject {
  readonly status: number;
  readonly handle: Buffer;
  readonly attributes: WireAttributes;
  readonly directory: ChangeData;
}

/** The results of CREATE, MKDIR, SYMLINK and MKNOD. */
export function readNewObject(from: Decoder): NewObject {
  const status = from.u32();
  if (status !== 0) throw new Error(`status ${status}`);
  const handle = from.optional(() => from.opaque())!;
  const attributes = from.optional(readAttributes)!;
  return { status, handle, attributes, directory: readChangeData(from) };
}

export interface AttributeArguments {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly size?: Offset;
  readonly accessed?: "now" | readonly [number, number];
  readonly modified?: "now" | readonly [number, number];
}

/** sattr3. */
export function attributes(change: AttributeArguments = {}): Buffer {
  const to = encode();
  for (const value of [change.mode, change.uid, change.gid]) {
    if (value === undefined) to.u32(0);
    else to.u32(1).u32(value);
  }
  if (change.size === undefined) to.u32(0);
  else to.u32(1).u64(change.size);
  for (const time of [change.accessed, change.modified]) writeTime(to, time);
  return to.take();
}

function writeTime(to: Encoder, time: "now" | readonly [number, number] | undefined): void {
  if (time === undefined) to.u32(0);
  else if (time === "now") to.u32(1);
  else to.u32(2).u32(time[0]).u32(time[1]);
}

export interface ListedEntry {
  readonly id: number;
  readonly name: string;
  readonly cookie: number;
  readonly attributes?: WireAttributes;
  readonly handle?: Buffer;
}

export interface Listing {
  readonly entries: ListedEntry[];
  readonly isComplete: boolean;
  /** Bytes of the result without its status: what `count` and `maxcount` bound. */
  readonly bytes: number;
}

/** The results of READDIR and READDIRPLUS. */
export function readListing(from: Decoder, plus: boolean): Listing {
  const status = from.u32();
  if (status !== 0) throw new Error(`status ${status}`);
  const start = from.position;
  from.optional(readAttributes);
  if (from.u64() !== 0) throw new Error("the cookie verifier is not 0");
  const entries: ListedEntry[] = [];
  while (from.u32() === 1) {
    const entry = { id: from.u64(), name: from.string(), cookie: from.u64() };
    if (!plus) entries.push(entry);
    else {
      const attributes = from.optional(readAttributes);
      entries.push({ ...entry, attributes, handle: from.optional(() => from.opaque()) });
    }
  }
  return { entries, isComplete: from.u32() === 1, bytes: from.position - start };
}
