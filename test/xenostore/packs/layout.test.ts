import { constants, zstdCompressSync } from "node:zlib";
import { blake3 } from "@napi-rs/blake-hash";
import test from "ava";
import { XenoError } from "../../../cowfs/errors.ts";
import { ChunkTable } from "../../../cowfs/trees/address-space.ts";
import { compressFrames } from "../../../xenostore/packs/compress-frames.ts";
import { type ChunkLocation, encodeLayout, maxFrameBytes, openLayout } from "../../../xenostore/packs/layout.ts";
import { PackWriter } from "../../../xenostore/packs/pack-writer.ts";
import { createChunkFetcher } from "../../../xenostore/pull/fetch-chunks.ts";
import type { ObjectStore } from "../../../xenostore/stores/object-store.ts";

const hash = (bytes: Buffer) => blake3(bytes).toString("hex");

function makeLayout(count: number) {
  const writer = new PackWriter();
  const packs = new Map<string, Buffer>();
  const contents = Array.from({ length: count }, (_, i) => Buffer.alloc(1000 + i, `content ${i} `));
  for (const content of contents) writer.add(hash(content), content);
  const raw = writer.finish();
  if (raw) {
    const pack = compressFrames(raw);
    raw.complete(pack);
    packs.set(`packs/${pack.hash}`, pack.bytes);
  }
  const chunks = new Map(contents.map((content) => [hash(content), writer.location(hash(content))!]));
  return { contents, packs, chunks };
}

test("a pack map finds every chunk where it was packed, and no other", (t) => {
  const { contents, chunks } = makeLayout(500);
  const { id, bytes } = encodeLayout(chunks);
  const layout = openLayout(bytes, id);
  t.is(layout.chunkCount, 500);
  for (const content of contents) {
    const place = layout.find(blake3(content));
    t.deepEqual(layout.location(place), { ...chunks.get(hash(content))! });
  }
  t.is(layout.find(blake3("another")), -1);
  t.is(encodeLayout(new Map([...chunks].reverse())).id, id, "the order does not matter");
});

test("an empty pack map is possible", (t) => {
  const { id, bytes } = encodeLayout(new Map());
  t.is(openLayout(bytes, id).find(blake3("x")), -1);
});

const location = (change: Partial<ChunkLocation["frame"]> = {}, offset = 0, length = 10): ChunkLocation => ({
  frame: { pack: "ab".repeat(32), offset: 0, length: 20, rawLength: 10, ...change },
  offset,
  length,
});

for (const [what, hostile] of [
  ["a frame beyond every pack", location({ offset: 0xfffffff0, length: 0xff })],
  ["an empty frame", location({ length: 0 })],
  ["a frame that unpacks to gigabytes", location({ rawLength: maxFrameBytes + 1 })],
  ["a chunk beyond its frame", location({}, 1, 10)],
  ["a chunk whose end wraps around", location({}, 0xffffffff, 2)],
] as const)
  test(`a pack map with ${what} is refused, though its hash is right`, (t) => {
    const { id, bytes } = encodeLayout(new Map([["cd".repeat(32), hostile]]));
    t.throws(() => openLayout(bytes, id), { code: "object-damaged", message: new RegExp(id) });
  });

test("with its hash made right, a changed pack map is refused or can be used, and never crashes", (t) => {
  const { bytes } = encodeLayout(makeLayout(5).chunks);
  for (let at = 0; at < bytes.length; at++)
    for (const mask of [1, 0x80, 0xff]) {
      const changed = Buffer.from(bytes);
      changed[at] ^= mask;
      t.throws(() => openLayout(changed, hash(bytes)), { code: "object-damaged" });
      try {
        const layout = openLayout(changed, hash(changed));
        for (let chunk = 0; chunk < layout.chunkCount; chunk++) {
          const { frame, offset, length } = layout.location(chunk);
          t.true(offset + length <= frame.rawLength && frame.rawLength <= maxFrameBytes && frame.pack.length === 64);
        }
      } catch (error) {
        t.true(error instanceof XenoError && /^(object-damaged|layout-too-new)$/.test(error.code));
      }
    }
});

const demanded = { signal: new AbortController().signal, ahead: false };

function makeFetcher(contents: Buffer[], chunks: ReadonlyMap<string, ChunkLocation>, packs: Map<string, Buffer>) {
  let end = 0;
  const ends = contents.map((content) => {
    end += content.length;
    return end;
  });
  const table = new ChunkTable(new Float64Array(ends), Buffer.concat(contents.map((content) => blake3(content))));
  const ranges: number[] = [];
  const store = {
    name: "a hostile store",
    get: async (key: string, { range }: { range: { start: number; length: number } }) => {
      ranges.push(range.length);
      return packs.get(key)!.subarray(range.start, range.start + range.length);
    },
  } as unknown as ObjectStore;
  const { id, bytes } = encodeLayout(chunks);
  return { ranges, fetch: createChunkFetcher(store, table, openLayout(bytes, id)) };
}

test("neighbouring frames come in one request, with all that they hold", async (t) => {
  const { contents, chunks, packs } = makeLayout(400);
  const { fetch, ranges } = makeFetcher(contents, chunks, packs);
  const fetched = await fetch([0, 1, 150, 399], demanded);
  t.is(ranges.length, 1);
  for (const chunk of [0, 1, 2, 150, 399]) t.deepEqual(fetched.get(chunk), contents[chunk]);
});

test("a frame that unpacks to more than the pack map says is stopped there", async (t) => {
  const bomb = zstdCompressSync(Buffer.alloc(64 * 2 ** 20), { params: { [constants.ZSTD_c_windowLog]: 20 } });
  const content = Buffer.alloc(10);
  const pack = hash(bomb);
  const chunks = new Map([[hash(content), location({ pack, length: bomb.length })]]);
  const { fetch, ranges } = makeFetcher([content], chunks, new Map([[`packs/${pack}`, bomb]]));
  const before = process.memoryUsage().rss;
  const error = (await fetch([0], demanded)).get(0);
  t.true(error instanceof XenoError && error.code === "object-damaged" && error.message.includes(pack));
  t.is(ranges.length, 2);
  t.true(process.memoryUsage().rss - before < 50e6);
});

test("a pack map that does not place every chunk of the tree is refused at once", (t) => {
  const { contents, chunks, packs } = makeLayout(3);
  chunks.delete(hash(contents[1]));
  t.throws(() => makeFetcher(contents, chunks, packs), { code: "object-damaged", message: /does not place/ });
});
