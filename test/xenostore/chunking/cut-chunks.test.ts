import { blake3 } from "@napi-rs/blake-hash";
import test from "ava";
import { cutBuffer, cutChunks, maxBytes, minBytes, wholeBytes } from "../../../xenostore/chunking/cut-chunks.ts";
import fc from "../../property.ts";

/** Content without repetition, the same for the same seed. */
function makeContent(length: number, seed: number): Buffer {
  const content = Buffer.allocUnsafe(length);
  let state = (seed * 2654435761 + 1) >>> 0;
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    content[i] = state >>> 11;
  }
  return content;
}

async function cutStream(content: Buffer, step: number): Promise<Buffer[]> {
  async function* feed() {
    for (let at = 0; at < content.length; at += step) yield content.subarray(at, at + step);
  }
  const chunks: Buffer[] = [];
  for await (const chunk of cutChunks(feed())) chunks.push(Buffer.from(chunk));
  return chunks;
}

const length = fc.oneof(
  fc.integer({ min: 0, max: 2_500_000 }),
  fc.constantFrom(0, 1, minBytes, wholeBytes, wholeBytes + 1, maxBytes, 4 * maxBytes, 4 * maxBytes + 1),
);

test("(C1) (C2) chunks join to the input and keep to their sizes, however the input arrives", async (t) => {
  await fc.assert(
    fc.asyncProperty(length, fc.nat(), fc.constantFrom(4096, 65_536, 3_000_000), async (length, seed, step) => {
      const content = makeContent(length, seed);
      const chunks = [...cutBuffer(content)];
      t.true(Buffer.concat(chunks).equals(content));
      for (const chunk of chunks.slice(0, -1)) t.true(chunk.length >= minBytes && chunk.length <= maxBytes);
      t.true(chunks.every((chunk) => chunk.length > 0 && chunk.length <= maxBytes));
      if (length <= wholeBytes) t.true(chunks.length <= 1);
      const streamed = await cutStream(content, step);
      t.deepEqual(
        streamed.map((chunk) => chunk.length),
        chunks.map((chunk) => chunk.length),
      );
      t.true(Buffer.concat(streamed).equals(content));
    }),
    { numRuns: 25 },
  );
});

test("(C3) an insert changes few chunks, wherever it is", (t) => {
  const content = makeContent(6_000_000, 7);
  const before = new Set([...cutBuffer(content)].map((chunk) => blake3(chunk).toString("hex")));
  fc.assert(
    fc.property(fc.integer({ min: 0, max: content.length }), fc.integer({ min: 1, max: 5000 }), (at, added) => {
      const edited = Buffer.concat([content.subarray(0, at), makeContent(added, at), content.subarray(at)]);
      const changed = [...cutBuffer(edited)].filter((chunk) => !before.has(blake3(chunk).toString("hex")));
      t.true(changed.length <= 6, `${changed.length} chunks changed`);
    }),
    { numRuns: 20 },
  );
});

test("chunks of content without repetition are about the size that they should be", (t) => {
  const chunks = [...cutBuffer(makeContent(8_000_000, 3))];
  const average = 8_000_000 / chunks.length;
  t.true(average > 50_000 && average < 110_000, `${average} bytes`);
});

test("content that never gives a cut is cut at the largest size", (t) => {
  const chunks = [...cutBuffer(Buffer.alloc(1_000_000, 0x41))];
  t.true(chunks.slice(0, -1).every((chunk) => chunk.length === maxBytes));
});

test("the cuts of this format version do not change", (t) => {
  const lengths = [...cutBuffer(makeContent(600_000, 1))].map((chunk) => chunk.length);
  t.deepEqual(lengths, [78566, 82288, 68953, 74283, 67118, 74625, 71777, 70428, 11962]);
});
