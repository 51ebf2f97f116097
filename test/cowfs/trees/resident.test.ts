import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { blake3 } from "@napi-rs/blake-hash";
import test, { type ExecutionContext } from "ava";
import { XenoError } from "../../../cowfs/errors.ts";
import { type Fault, runWithFaults } from "../../../cowfs/fault.ts";
import { ChunkTable } from "../../../cowfs/trees/address-space.ts";
import { readResidency } from "../../../cowfs/trees/residency.ts";
import { type FetchChunks, openResidentSpace, type ResidentSpace } from "../../../cowfs/trees/resident.ts";
import { makeSpaceContent, treeId } from "./space-content.ts";

const forever = new AbortController().signal;

function makeDirectory(t: ExecutionContext): string {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "xeno-resident-"));
  t.teardown(() => fs.rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A fetcher over `content` that notes what it was asked for. */
function makeFetcher(content: Buffer, chunks: ChunkTable) {
  const asked: number[][] = [];
  const fetch: FetchChunks = async (wanted) => {
    asked.push([...wanted]);
    await delay(1);
    return new Map(
      wanted.map((chunk) => [
        chunk,
        content.subarray(chunks.address(chunk), chunks.address(chunk) + chunks.length(chunk)),
      ]),
    );
  };
  return { asked, fetch };
}

async function readAll(space: ResidentSpace, bytes: number): Promise<Buffer> {
  const target = Buffer.alloc(bytes);
  for (let at = 0; at < bytes; at += 100_003) {
    const length = Math.min(100_003, bytes - at);
    await runWithFaults(() => space.read(at, length, target, at), AbortSignal.timeout(120_000));
  }
  return target;
}

test("faults bring the bytes, and a later life of the process needs no fetch", async (t) => {
  const { content, chunks } = makeSpaceContent(300);
  const directory = makeDirectory(t);
  const first = makeFetcher(content, chunks);
  const space = await openResidentSpace({ directory, treeId, chunks, fetch: first.fetch });
  t.true((await readAll(space, content.length)).equals(content));
  await space.close();
  const second = makeFetcher(content, chunks);
  const again = await openResidentSpace({ directory, treeId, chunks, fetch: second.fetch });
  t.is(again.residentBytes(), content.length);
  t.true((await readAll(again, content.length)).equals(content));
  t.deepEqual(second.asked, []);
  await again.close();
});

test("a fault names every missing chunk of its range, and neighbours come in one fetch with those after them", async (t) => {
  const { content, chunks } = makeSpaceContent(100);
  const fetcher = makeFetcher(content, chunks);
  const space = await openResidentSpace({ directory: makeDirectory(t), treeId, chunks, fetch: fetcher.fetch });
  const range = [chunks.address(10), chunks.address(15) - chunks.address(10)] as const;
  const target = Buffer.alloc(range[1]);
  const fault = t.throws(() => space.read(...range, target, 0), { any: true }) as unknown as Fault;
  t.is(fault.needs.length, 5);
  const signal = new AbortController().signal;
  await Promise.all([...fault.needs, ...fault.needs].map((need) => need.bring(signal)));
  t.is(fetcher.asked.length, 1);
  t.deepEqual(fetcher.asked[0].slice(0, 5), [10, 11, 12, 13, 14]);
  const fetched = fetcher.asked[0].reduce((sum, chunk) => sum + chunks.length(chunk), 0);
  t.true(fetcher.asked[0].length > 5 && fetched <= 256 * 1024);
  space.read(...range, target, 0);
  t.true(target.equals(content.subarray(range[0], range[0] + range[1])));
  await space.close();
});

test("a chunk without its hash is never served and its error is named", async (t) => {
  const { content, chunks } = makeSpaceContent(20);
  const bad = Buffer.from(content);
  bad[chunks.address(7)] ^= 1;
  const { fetch } = makeFetcher(bad, chunks);
  const space = await openResidentSpace({ directory: makeDirectory(t), treeId, chunks, fetch });
  const target = Buffer.alloc(10);
  const read = (chunk: number) =>
    runWithFaults(() => space.read(chunks.address(chunk), 1, target, 0), new AbortController().signal);
  await t.throwsAsync(read(7), { code: "object-damaged", message: new RegExp(chunks.hash(7)) });
  await read(6);
  await read(8);
  t.is(target[0], content[chunks.address(8)]);
  await space.close();
});

test("bytes that rotted on the local disk are fetched again", async (t) => {
  const { content, chunks } = makeSpaceContent(50);
  const directory = makeDirectory(t);
  const first = await openResidentSpace({ directory, treeId, chunks, fetch: makeFetcher(content, chunks).fetch });
  await first.bringAhead({ signal: forever });
  await first.close();
  const file = path.join(directory, "0000.space");
  const stored = fs.readFileSync(file);
  stored[chunks.address(3)] ^= 1;
  fs.writeFileSync(file, stored.subarray(0, chunks.address(40) + 1));
  const { fetch, asked } = makeFetcher(content, chunks);
  const space = await openResidentSpace({ directory, treeId, chunks, fetch });
  t.true((await readAll(space, content.length)).equals(content));
  t.true(asked.flat().includes(3) && asked.flat().includes(40) && !asked.flat().includes(20));
  await space.close();
});

test("a residency file that does not match is thrown away", async (t) => {
  const { content, chunks } = makeSpaceContent(50);
  const directory = makeDirectory(t);
  const first = await openResidentSpace({ directory, treeId, chunks, fetch: makeFetcher(content, chunks).fetch });
  await first.bringAhead({ signal: forever });
  await first.close();
  fs.truncateSync(path.join(directory, "residency"), 50);
  const space = await openResidentSpace({ directory, treeId, chunks, fetch: makeFetcher(content, chunks).fetch });
  t.is(space.residentBytes(), 0);
  await space.close();
});

test("a second opener is refused until the first has closed", async (t) => {
  const { content, chunks } = makeSpaceContent(1);
  const directory = makeDirectory(t);
  const { fetch } = makeFetcher(content, chunks);
  const space = await openResidentSpace({ directory, treeId, chunks, fetch });
  await t.throwsAsync(openResidentSpace({ directory, treeId, chunks, fetch }), { code: "in-use" });
  await space.close();
  await (await openResidentSpace({ directory, treeId, chunks, fetch })).close();
});

test("filling reports its progress, fails with the reason, and goes on where it stopped", async (t) => {
  const { content, chunks } = makeSpaceContent(400);
  const good = makeFetcher(content, chunks);
  let fetches = 0;
  const space = await openResidentSpace({
    directory: makeDirectory(t),
    treeId,
    chunks,
    fetch: async (wanted, options) => {
      if (++fetches === 3) throw new XenoError("store-unavailable", "the store is away");
      return good.fetch(wanted, options);
    },
  });
  const seen: number[] = [];
  const fill = () => space.bringAhead({ onProgress: ({ doneBytes }) => seen.push(doneBytes), signal: forever });
  await t.throwsAsync(fill(), { code: "store-unavailable" });
  await fill();
  t.is(seen.at(-1), content.length);
  t.is(space.residentBytes(), content.length);
  t.is(new Set(good.asked.flat()).size, good.asked.flat().length, "nothing is fetched twice");
  await space.close();
});

test("a waiter that gives up does not take the fetch away from the others; closing ends them all", async (t) => {
  const { chunks } = makeSpaceContent(4);
  const space = await openResidentSpace({
    directory: makeDirectory(t),
    treeId,
    chunks,
    fetch: (_, { signal }) => {
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    },
  });
  const fault = t.throws(() => space.read(0, 1, Buffer.alloc(1), 0), { any: true }) as unknown as Fault;
  const impatient = new AbortController();
  const given = fault.needs[0].bring(impatient.signal);
  const patient = fault.needs[0].bring(new AbortController().signal);
  impatient.abort(new Error("enough"));
  await t.throwsAsync(given, { message: "enough" });
  const closed = space.close();
  await t.throwsAsync(patient, { code: "cache-closed" });
  await closed;
});

test("chunks that lie across two files are read and synced as one", async (t) => {
  const length = 2 ** 20;
  const content = Buffer.alloc(17 * length - 5);
  const ends: number[] = [];
  for (let end = length - 5; end <= content.length; end += length) ends.push(end);
  ends.forEach((end, i) => {
    content.fill(i + 1, i === 0 ? 0 : ends[i - 1], end);
  });
  const hashes = ends.map((end, i) => blake3(content.subarray(i === 0 ? 0 : ends[i - 1], end)));
  const chunks = new ChunkTable(new Float64Array(ends), Buffer.concat(hashes));
  const directory = makeDirectory(t);
  const space = await openResidentSpace({ directory, treeId, chunks, fetch: makeFetcher(content, chunks).fetch });
  t.true((await readAll(space, content.length)).equals(content));
  t.true(fs.existsSync(path.join(directory, "0001.space")));
  await space.close();
});

test("SIGKILL while it fills leaves a cache that is only smaller", async (t) => {
  const { content, chunks } = makeSpaceContent(2000);
  const directory = makeDirectory(t);
  for (const killAfterMs of [0, 15, 40, undefined]) {
    const child = spawn(process.execPath, [path.join(import.meta.dirname, "fill-slowly.ts"), directory, "2000"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    t.teardown(() => child.kill("SIGKILL"));
    await once(child.stdout!, "data");
    if (killAfterMs === undefined) await untilPersisted(path.join(directory, "residency"), chunks.count);
    else await delay(killAfterMs);
    await kill(child);
  }
  const { fetch, asked } = makeFetcher(content, chunks);
  const space = await openResidentSpace({ directory, treeId, chunks, fetch });
  t.true(space.residentBytes() > 0, "what was persisted is kept");
  t.true((await readAll(space, content.length)).equals(content));
  t.true(asked.length > 0);
  await space.close();
});

async function untilPersisted(file: string, count: number): Promise<void> {
  const end = performance.now() + 120_000;
  for (;;) {
    const isResident = await readResidency(file, treeId, count);
    for (let chunk = 0; chunk < count; chunk++) if (isResident(chunk)) return;
    if (performance.now() > end) throw new Error("nothing was persisted");
    await delay(20);
  }
}

async function kill(child: ChildProcess): Promise<void> {
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}
