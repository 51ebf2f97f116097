/** A guest's calls, over the wire client. */
import { setTimeout as delay } from "node:timers/promises";
import type { ExecutionContext } from "ava";
import { type Client, nfs } from "../../cowfs/nfs/client.ts";
import { encode } from "../../cowfs/nfs/encoder.ts";

/** NFS3ERR_JUKEBOX */
const later = 10_008;

/** What is not here yet is asked for until it is. */
export async function read(client: Client, handle: Buffer, length = 4096, offset = 0): Promise<Buffer> {
  for (;;) {
    const results = await client.call(nfs.read, encode().opaque(handle).u64(offset).u32(length));
    const status = results.u32();
    if (status === later) continue;
    if (status !== 0) throw new Error(`READ refused: ${status}`);
    if (results.u32() === 1) results.raw(84);
    results.u64();
    return results.opaque();
  }
}

export async function lookup(client: Client, directory: Buffer, name: string): Promise<Buffer> {
  const results = await client.call(nfs.lookup, encode().opaque(directory).string(name));
  if (results.u32() !== 0) throw new Error("LOOKUP refused");
  return results.opaque();
}

export async function write(
  client: Client,
  handle: Buffer,
  offset: number,
  data: Buffer,
  xid?: number,
): Promise<number> {
  const args = encode().opaque(handle).u64(offset).u32(data.length).u32(0).opaque(data);
  return (await client.call(nfs.write, args, { xid })).u32();
}

/** Whatever keeps it from being told meanwhile: a worker that is started again may take longer than a request has. */
export async function until(t: ExecutionContext, what: string, holds: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + 120_000;
  for (;;) {
    const said = await holds().catch((error) => error as Error);
    if (said === true) return;
    if (performance.now() > end) t.fail(`not in time: ${what}: ${said}`);
    await delay(100);
  }
}
