/**
 * `npm run soak -- growth`: an NFS server under steady load whose memory must not grow.
 *
 * The load leaves nothing behind, so what it keeps has a bound: replies for repeats (65,536), the cache of pages, checkpoints. In the
 * first half of the time it fills. Of the second half the two quarters are compared: what V8 holds after a collection, and, with more
 * room, the resident set then, in which V8's pages come and go: 35 to 280 MB of them were seen.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { makeFastDirectory } from "../cowfs/fast-directory.ts";
import { type Client, connect, nfs } from "../cowfs/nfs/client.ts";
import { encode } from "../cowfs/nfs/encoder.ts";
import { makeFile, mount } from "../cowfs/nfs/fixture.ts";
import { KilledServer } from "../cowfs/nfs/killed/server.ts";
import { attributes, readNewObject } from "../cowfs/nfs/results.ts";
import type { Soak, SoakRun, SoakSummary } from "./soak.ts";

const clients = 4;
const sampleMs = 3000;
/** Five changes each: more than the replies that are kept. */
const leastRounds = 2 * 14_000;
const memories = ["held", "resident"] as const;
type Memory = (typeof memories)[number];
/** Of the medians of the third quarter. */
const mostGrowth: Record<Memory, number> = { held: 1.1, resident: 1.25 };
const content = "x".repeat(8192);

export const growth: Soak = {
  about: "an NFS server under steady load, whose memory must not grow",
  minutes: 10,
  run: watchGrowth,
};

async function watchGrowth(run: SoakRun): Promise<SoakSummary> {
  const scratch = makeFastDirectory();
  const server = new KilledServer(join(scratch, "journal"), { hasUsualLimits: true });
  const open: Client[] = [];
  const samples: Record<Memory, number[]> = { held: [], resident: [] };
  const counts = { rounds: 0 };
  let isEnding = false;
  try {
    for (let index = 0; index < clients; index++) open.push(await connect(await server.port));
    const top = await mount(open[0]);
    const working = Promise.all(
      open.map(async (client, index) => {
        const directory = await makeDirectory(client, top, `client ${index}`);
        while (!isEnding) {
          await workOnce(client, directory);
          counts.rounds++;
        }
      }),
    );
    const watching = (async () => {
      while (run.goesOn()) {
        const { heldBytes: held, residentBytes: resident } = await server.measureMemory();
        samples.resident.push(resident);
        samples.held.push(held);
        run.progress(() => `${counts.rounds} rounds, ${toMegabytes(held)} of ${toMegabytes(resident)} MB held`);
        await delay(sampleMs);
      }
      isEnding = true;
    })();
    await Promise.race([working, watching]);
    await Promise.all([working, watching]);
  } finally {
    for (const client of open) client.close();
    await server.kill();
    rmSync(scratch, { recursive: true, force: true });
  }
  const troubles = [...server.errors];
  if (counts.rounds < leastRounds)
    troubles.push(`it was not warm after ${counts.rounds} rounds: it needs more minutes`);
  const megabytes: Record<string, number> = {};
  for (const memory of memories) {
    const [, second, third, last] = [0, 1, 2, 3].map((quarter) => medianOf(samples[memory], quarter));
    for (const [name, bytes] of Object.entries({ second, third, last }))
      megabytes[`MB ${memory} in the ${name} quarter`] = toMegabytes(bytes);
    if (last > third * mostGrowth[memory]) troubles.push(`its ${memory} memory grew from ${third} to ${last} bytes`);
  }
  const failures = troubles.map((message) => ({ seed: run.seed, message }));
  return { counts: { ...counts, samples: samples.held.length, ...megabytes }, failures };
}

/** A file made, written, read, listed, renamed and removed. */
async function workOnce(client: Client, directory: Buffer): Promise<void> {
  const file = await makeFile(client, directory, "file", content);
  await client.call(nfs.read, encode().opaque(file).u64(0).u32(content.length));
  await client.call(nfs.getattr, encode().opaque(file));
  await client.call(nfs.readdirplus, encode().opaque(directory).u64(0).u64(0).u32(4096).u32(32768));
  await client.call(nfs.rename, encode().opaque(directory).string("file").opaque(directory).string("renamed"));
  const removed = await client.call(nfs.remove, encode().opaque(directory).string("renamed"));
  if (removed.u32() !== 0) throw new Error("REMOVE failed");
  // It keeps every answer otherwise, and looks through them.
  client.records.length = 0;
}

async function makeDirectory(client: Client, top: Buffer, name: string): Promise<Buffer> {
  const args = encode()
    .opaque(top)
    .string(name)
    .raw(attributes({ mode: 0o755 }));
  return readNewObject(await client.call(nfs.mkdir, args)).handle;
}

function medianOf(samples: readonly number[], quarter: number): number {
  const length = Math.floor(samples.length / 4);
  const sorted = samples.slice(quarter * length, (quarter + 1) * length).sort((a, b) => a - b);
  return sorted[length >> 1] ?? 0;
}

function toMegabytes(bytes: number): number {
  return Math.round(bytes / 1e6);
}
