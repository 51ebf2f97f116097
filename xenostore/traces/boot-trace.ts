/**
 * Boot traces: which chunks of which trees a boot read, in the order in which it first read them.
 *
 * The object `traces/<tree>` is the trace of what was booted from that tree: of a deployment's overlay, with its template's
 * chunks in it, or of a template by itself, for overlays that were never booted. The bytes: "XENOTRCE", version u32, the
 * number of sections u32; per section the tree's id (32 bytes), a count u32, chunk numbers u32. Little-endian.
 *
 * Whoever may write to the store may write it, and nobody signs it: it decides what is brought first and nothing else. Its
 * size is bounded, and numbers that the tree does not have are dropped where it is used.
 */
import { XenoError } from "../../cowfs/errors.ts";

/** Chunk numbers by the id of their tree. */
export type BootTrace = ReadonlyMap<string, readonly number[]>;

export const traceVersion = 1;
/** Four million chunks: the whole of any template that anybody would boot. */
export const maxTraceBytes = 16 * 2 ** 20;
const maxSections = 256;
const magic = "XENOTRCE";
const headerBytes = 16;
const sectionHeaderBytes = 36;

export function traceKey(treeId: string): string {
  return `traces/${treeId}`;
}

export function encodeTrace(trace: BootTrace): Buffer {
  const sections = [...trace];
  const bytes = Buffer.alloc(
    sections.reduce((sum, [, chunks]) => sum + sectionHeaderBytes + 4 * chunks.length, headerBytes),
  );
  bytes.write(magic, "latin1");
  bytes.writeUInt32LE(traceVersion, 8);
  bytes.writeUInt32LE(sections.length, 12);
  let at = headerBytes;
  for (const [treeId, chunks] of sections) {
    at += bytes.write(treeId, at, "hex");
    at = bytes.writeUInt32LE(chunks.length, at);
    for (const chunk of chunks) at = bytes.writeUInt32LE(chunk, at);
  }
  return bytes;
}

/** Throws `object-damaged`, or `trace-too-new`. */
export function decodeTrace(bytes: Buffer): BootTrace {
  const refuse = (): never => {
    throw new XenoError("object-damaged", "this is no boot trace", {
      hint: "Delete the object: the next boot that has none writes one.",
    });
  };
  if (bytes.length < headerBytes || bytes.toString("latin1", 0, 8) !== magic) refuse();
  const version = bytes.readUInt32LE(8);
  if (version > traceVersion)
    throw new XenoError("trace-too-new", `the boot trace has format ${version}; this reader knows ${traceVersion}`, {
      hint: "Upgrade this machine's XenoServer software.",
    });
  const count = bytes.readUInt32LE(12);
  if (count > maxSections) refuse();
  const trace = new Map<string, readonly number[]>();
  let at = headerBytes;
  for (let section = 0; section < count; section++) {
    if (bytes.length - at < sectionHeaderBytes) refuse();
    const treeId = bytes.toString("hex", at, at + 32);
    const length = bytes.readUInt32LE(at + 32);
    at += sectionHeaderBytes;
    if (length > (bytes.length - at) / 4 || trace.has(treeId)) refuse();
    trace.set(
      treeId,
      Array.from({ length }, (_, index) => bytes.readUInt32LE(at + 4 * index)),
    );
    at += 4 * length;
  }
  if (at !== bytes.length) refuse();
  return trace;
}

/** The first trace, with what only the second one read after it. */
export function mergeTraces(first: BootTrace, second: BootTrace): BootTrace {
  const merged = new Map(first);
  for (const [treeId, chunks] of second) merged.set(treeId, [...new Set([...(first.get(treeId) ?? []), ...chunks])]);
  return merged;
}
