/**
 * What xl saves and migrates, as it goes through our hands (docs/specs/libxl-migration-stream.pandoc and
 * libxc-migration-stream.pandoc of Xen 4.17, version 2).
 *
 *     xl's header       48 bytes and the domain's configuration: thrown away, and made anew by who restores (H5)
 *     libxl's stream    a header, records; one of them begins
 *       libxc's stream    two headers, records: the guest's memory and CPUs
 *
 * Ours begins with one line of JSON instead, and goes on with libxl's stream. Invariants: (I1) nothing but libxl's stream leaves
 * this module, up to its last record; (I2) an image of a machine of another size is refused before anything is built of it.
 */
import type { Readable } from "node:stream";
import { XenoError } from "../../../cowfs/errors.ts";

/** tools/xl/xl.h: the magic of `struct save_file_header`; four words follow. */
const xlMagic = Buffer.from("Xen saved domain, xl format\n \0 \r", "latin1");
const xlHeaderBytes = xlMagic.length + 16;
const byteOrder = 0x01020304;
const streamVersion2 = 2;
/** A domain's configuration as JSON has a few KiB. */
const maxConfigurationBytes = 1024 * 1024;

/** What xl expects before libxl's stream where a file of its own tells the configuration. */
export function composeXlHeader(): Buffer {
  const header = Buffer.alloc(xlHeaderBytes);
  xlMagic.copy(header);
  header.writeUInt32LE(byteOrder, 32);
  header.writeUInt32LE(streamVersion2, 36);
  return header;
}

/** What of a machine its image must agree with. */
export interface ImageHead {
  readonly format: 1;
  readonly memoryMiB: number;
  readonly cpus: number;
}

const headMagic = "xeno-xl-image ";
const maxHeadBytes = 256;

export function composeHead(head: ImageHead): Buffer {
  return Buffer.from(`${headMagic}${JSON.stringify(head)}\n`);
}

/** The line that an image of ours begins with; the stream goes on behind it. Rejects with `image-damaged`, or the stream's error. */
export async function readHead(image: Readable): Promise<ImageHead> {
  // Of what went wrong before, nobody is told again.
  if (image.errored) throw image.errored;
  if (image.destroyed) throw damaged("it is closed");
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  let read = Buffer.alloc(0);
  const take = () => {
    for (let chunk = image.read() as Buffer | null; chunk !== null; chunk = image.read() as Buffer | null) {
      read = Buffer.concat([read, chunk]);
      const end = read.indexOf(10);
      if (end >= 0) {
        image.off("readable", take);
        image.unshift(read.subarray(end + 1));
        return resolve(read.subarray(0, end));
      }
      if (read.length > maxHeadBytes) return reject(damaged("it does not begin as one"));
    }
  };
  const onEnd = () => reject(damaged("it is empty"));
  image.on("readable", take).once("error", reject).once("end", onEnd).once("close", onEnd);
  take();
  try {
    return parseHead((await promise).toString("utf8"));
  } finally {
    image.off("readable", take).off("end", onEnd).off("close", onEnd).off("error", reject);
  }
}

function parseHead(text: string): ImageHead {
  let value: Partial<ImageHead> = {};
  try {
    if (text.startsWith(headMagic)) value = JSON.parse(text.slice(headMagic.length));
  } catch {}
  if (value.format === 1 && Number.isInteger(value.memoryMiB) && Number.isInteger(value.cpus))
    return value as ImageHead;
  throw damaged("it does not begin as one");
}

export function damaged(reason: string): XenoError {
  return new XenoError("image-damaged", `this is no memory image of the xl driver: ${reason}`, {
    hint: "resume an older checkpoint",
  });
}

/** libxl's records, by what follows them. */
const libxlRecords = { end: 0, libxcContext: 1 } as const;
/** libxc's records: the end, and the first that is written once the guest has stopped and its last pages are. */
const libxcRecords = { end: 0, x86TscInfo: 9 } as const;

/** Follows libxl's stream, byte by byte in any cut. What comes from xl itself begins with its header, which is taken off. */
export class ImageStream {
  #expected: { readonly bytes: number; take(bytes: Buffer): void };
  #partial = Buffer.alloc(0);
  /** Bytes of a record's body that are still to come. */
  #skip = 0;
  #skipsOut = true;
  isStopped = false;
  isEnded = false;

  readonly #isFromXl: boolean;

  constructor(from: "xl" | "image") {
    this.#isFromXl = from === "xl";
    this.#expected = this.#isFromXl
      ? { bytes: xlHeaderBytes, take: (bytes) => this.#takeXlHeader(bytes) }
      : this.#libxlHeader;
  }

  /** All of libxl's stream. Throws as `push` does, also where the chunks end before the stream. */
  async *pass(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) yield* this.push(chunk);
    if (!this.isEnded) throw this.#refuse("less than the domain's memory");
  }

  /**
   * The part of `chunk` that is libxl's stream. Throws where that is of another kind, or goes on after its end: `save-failed` if xl
   * sent it, `image-damaged` if it was kept.
   */
  push(chunk: Buffer): Buffer[] {
    const out: Buffer[] = [];
    let rest = chunk;
    while (rest.length > 0) {
      if (this.isEnded) throw this.#refuse("more after its end");
      if (this.#skip > 0) {
        const body = rest.subarray(0, this.#skip);
        if (this.#skipsOut) out.push(body);
        this.#skip -= body.length;
        rest = rest.subarray(body.length);
        if (this.#skip === 0) this.#skipsOut = true;
        continue;
      }
      const missing = this.#expected.bytes - this.#partial.length;
      this.#partial = Buffer.concat([this.#partial, rest.subarray(0, missing)]);
      rest = rest.subarray(missing);
      if (this.#partial.length < this.#expected.bytes) break;
      const whole = this.#partial;
      const isXlHeader = whole.length === xlHeaderBytes;
      this.#partial = Buffer.alloc(0);
      this.#expected.take(whole);
      if (!isXlHeader) out.push(whole);
    }
    return out;
  }

  #takeXlHeader(bytes: Buffer): void {
    if (!bytes.subarray(0, 32).equals(xlMagic) || bytes.readUInt32LE(32) !== byteOrder)
      throw this.#refuse("no header of xl's");
    const configurationBytes = bytes.readUInt32LE(44);
    if (configurationBytes > maxConfigurationBytes) throw this.#refuse("a configuration without an end");
    this.#skip = configurationBytes;
    this.#skipsOut = configurationBytes === 0;
    this.#expected = this.#libxlHeader;
  }

  get #libxlHeader() {
    return { bytes: 16, take: (header: Buffer) => this.#takeLibxlHeader(header) };
  }

  #takeLibxlHeader(bytes: Buffer): void {
    if (bytes.toString("latin1", 0, 8) !== "LibxlFmt" || bytes.readUInt32BE(8) !== 2)
      throw this.#refuse("no stream of libxl's");
    this.#expectLibxlRecord();
  }

  #expectLibxlRecord(): void {
    this.#expected = {
      bytes: 8,
      take: (record) => {
        const type = record.readUInt32LE(0);
        this.#skip = pad(record.readUInt32LE(4));
        if (type === libxlRecords.end) this.isEnded = true;
        // Its image header and domain header: 24 and 16 bytes.
        else if (type === libxlRecords.libxcContext)
          this.#expected = { bytes: 40, take: () => this.#expectLibxcRecord() };
      },
    };
  }

  #expectLibxcRecord(): void {
    this.#expected = {
      bytes: 8,
      take: (record) => {
        const type = record.readUInt32LE(0);
        this.#skip = pad(record.readUInt32LE(4));
        if (type === libxcRecords.x86TscInfo) this.isStopped = true;
        if (type === libxcRecords.end) this.#expectLibxlRecord();
      },
    };
  }

  #refuse(what: string): XenoError {
    if (!this.#isFromXl) return damaged(`it holds ${what}`);
    return new XenoError("save-failed", `xl sent ${what}`, { hint: "this driver knows the streams of Xen 4.17" });
  }
}

/** Bodies of records end at a multiple of 8 bytes. */
function pad(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}
