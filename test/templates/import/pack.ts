import { buffer } from "node:stream/consumers";
import { type Header, pack } from "tar-stream";

export type Member = Partial<Header> & { name: string; content?: string };

/** An archive by another implementation of the format. */
export async function packTar(members: readonly Member[]): Promise<Buffer> {
  const packer = pack();
  const bytes = buffer(packer);
  for (const { content = "", ...header } of members) packer.entry({ mtime: new Date(0), ...header } as Header, content);
  packer.finalize();
  return bytes;
}

/** A ustar header block, for what no packer would write. Fields are written over the block at their offsets. */
export function rawHeader(
  name: string,
  type: string,
  size: number,
  fields: Record<number, string | Buffer> = {},
): Buffer {
  const block = Buffer.alloc(512);
  block.write(name, 0, "latin1");
  block.write("0000644\0", 100);
  block.write(`${size.toString(8).padStart(11, "0")}\0`, 124);
  block.write("00000000000\0", 136);
  block.write(type, 156);
  block.write("ustar\x0000", 257);
  for (const [offset, value] of Object.entries(fields))
    Buffer.from(value as string, "latin1").copy(block, Number(offset));
  block.fill(" ", 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

export function padded(content: string | Buffer): Buffer {
  const bytes = Buffer.from(content as string, "latin1");
  return Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
}

/** An extended header with these records. */
export function paxHeader(records: Record<string, string | Buffer>, type = "x"): Buffer {
  const data = Buffer.concat(
    Object.entries(records).map(([keyword, value]) => {
      const rest = Buffer.concat([
        Buffer.from(` ${keyword}=`),
        Buffer.from(value as string, "latin1"),
        Buffer.from("\n"),
      ]);
      let length = rest.length;
      while (`${length}`.length + rest.length !== length) length = `${length}`.length + rest.length;
      return Buffer.concat([Buffer.from(`${length}`), rest]);
    }),
  );
  return Buffer.concat([rawHeader("pax", type, data.length), padded(data)]);
}

export const endMark: Buffer = Buffer.alloc(1024);

export async function* inParts(bytes: Buffer, size = 1000): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
