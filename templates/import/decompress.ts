/**
 * Undoes a tar archive's compression, told from its first bytes: gzip, zstd, xz, or none.
 *
 * What comes out has no bound here: the importer counts it while it flows (`ImportMeter`), which stops a bomb.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { PassThrough, Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { XenoError } from "../../cowfs/errors.ts";
import { ByteReader } from "./tar/byte-reader.ts";

const formats = [
  { name: "gzip", magic: Buffer.from([0x1f, 0x8b]) },
  { name: "zstd", magic: Buffer.from([0x28, 0xb5, 0x2f, 0xfd]) },
  { name: "xz", magic: Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]) },
  { name: "bzip2", magic: Buffer.from("BZh") },
] as const;

const longestMagic = 6;

/** Throws XenoError `tar-refused` for damaged data and for bzip2, which is not read. */
export async function* decompress(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const reader = new ByteReader(source);
  const start = await reader.read(longestMagic);
  const format = formats.find(({ magic }) => start.subarray(0, magic.length).equals(magic))?.name;
  const whole = joinAgain(start, reader);
  try {
    if (format === undefined) yield* whole;
    else if (format === "gzip") yield* through(whole, createGunzip());
    else if (format === "zstd") yield* through(whole, createZstdDecompress());
    else if (format === "xz") yield* throughXz(whole);
    else throw new Error("bzip2 is not read");
  } catch (cause) {
    if (format === undefined || !isDecoderError(cause)) throw cause;
    throw new XenoError("tar-refused", `the archive cannot be decompressed: ${(cause as Error).message}`, {
      hint: "fetch or make the archive again; gzip, zstd, xz and plain tar are read",
      cause,
    });
  } finally {
    await reader.close();
  }
}

/** What the decoders throw; the errors of the source itself (a disk, an abort) pass as they are. */
function isDecoderError(error: unknown): boolean {
  if (!(error instanceof Error) || error instanceof XenoError) return false;
  const { code } = error as NodeJS.ErrnoException;
  return code === undefined ? error.name === "Error" : /^(Z_|ZSTD_|ERR_ZSTD|xz$)/.test(code);
}

async function* joinAgain(start: Buffer, reader: ByteReader): AsyncGenerator<Buffer> {
  yield start;
  for (let part = await reader.readSome(2 ** 20); part !== undefined; part = await reader.readSome(2 ** 20)) yield part;
}

async function* through(source: AsyncIterable<Buffer>, decoder: NodeJS.ReadWriteStream): AsyncGenerator<Buffer> {
  const output = new PassThrough();
  const done = pipeline(Readable.from(source, { objectMode: false }), decoder, output);
  done.catch(() => {});
  yield* output as AsyncIterable<Buffer>;
  await done;
}

/** Node has no xz. */
async function* throughXz(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const xz = spawn("xz", ["--decompress", "--stdout"], { stdio: ["pipe", "pipe", "pipe"] });
  const ended = once(xz, "close") as Promise<[number | null]>;
  ended.catch(() => {});
  let complaint = "";
  xz.stderr.setEncoding("utf8").on("data", (text: string) => {
    complaint = (complaint + text).slice(-500);
  });
  const fed = pipeline(Readable.from(source, { objectMode: false }), xz.stdin);
  fed.catch(() => {});
  try {
    yield* xz.stdout as AsyncIterable<Buffer>;
    const [code] = await ended;
    if (code !== 0) throw Object.assign(new Error(complaint.trim() || `xz ended with ${code}`), { code: "xz" });
    await fed;
  } finally {
    xz.kill();
  }
}
