/** What is sealed of a file that a journal changed: the pieces of its whole content (S1), without reading what the layer below holds. */
import { blake3 } from "@napi-rs/blake-hash";
import test, { type ExecutionContext } from "ava";
import { createFileNode, type TreeNode } from "../../../cowfs/trees/node.ts";
import type { Piece } from "../../../cowfs/trees/tree.ts";
import { cutBuffer, cutChunks } from "../../../xenostore/chunking/cut-chunks.ts";
import type { KnowingSink } from "../../../xenostore/publish/content-sink.ts";
import { sealUnion } from "../../../xenostore/publish/seal-union.ts";
import { directory, file } from "../../cowfs/union/layers.ts";
import { openScratch } from "../../cowfs/union/scratch.ts";
import { root } from "../../cowfs/union/snapshot.ts";
import fc from "../../property.ts";
import { makeBytes } from "./sample.ts";

/** A sink that holds the chunks of a layer, and counts the bytes that it is given to look at. */
class CountingSink implements KnowingSink {
  bytes = 0;
  readonly #held: ReadonlySet<string>;

  constructor(held: readonly Piece[]) {
    this.#held = new Set(held.map(({ hash }) => hash!));
  }

  holds(hash: string): boolean {
    return this.#held.has(hash);
  }

  addContent(content: Buffer | AsyncIterable<Buffer>): Promise<Piece[]> {
    return this.#add(Buffer.isBuffer(content) ? cutBuffer(content) : cutChunks(this.#count(content)));
  }

  addPart(content: AsyncIterable<Buffer>, endsAt: (offset: number) => boolean): Promise<Piece[]> {
    return this.#add(cutChunks(this.#count(content), true), endsAt);
  }

  async #add(chunks: Iterable<Buffer> | AsyncIterable<Buffer>, endsAt = (_: number) => false): Promise<Piece[]> {
    const pieces: Piece[] = [];
    let offset = 0;
    for await (const chunk of chunks) {
      pieces.push({ offset, length: chunk.length, hash: blake3(chunk).toString("hex") });
      offset += chunk.length;
      if (endsAt(offset)) break;
    }
    return pieces;
  }

  async *#count(content: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const part of content) {
      this.bytes += part.length;
      yield part;
    }
  }
}

/** As a publication would have cut it, its holes as given. */
function cutFile(runs: readonly (Buffer | number)[]): TreeNode {
  const pieces: Piece[] = [];
  let offset = 0;
  for (const run of runs) {
    if (typeof run === "number") {
      pieces.push({ offset, length: run, hash: undefined });
      offset += run;
      continue;
    }
    for (const chunk of cutBuffer(run)) {
      const [piece] = file(chunk.toString("latin1")).pieces!;
      pieces.push({ ...piece, offset });
      offset += chunk.length;
    }
  }
  return createFileNode({ permissions: 0o644 }, pieces, offset);
}

async function openOver(t: ExecutionContext, node: TreeNode) {
  return await openScratch(t, { base: "test://base", layers: { "test://base": directory({ f: node }) } });
}

async function seal(s: Awaited<ReturnType<typeof openOver>>, held: readonly Piece[]) {
  const sink = new CountingSink(held);
  const sealed = await sealUnion(s.fs.core, s.fs.rootId, sink, AbortSignal.timeout(60_000));
  const node = sealed.children!.get("f") as TreeNode;
  return { pieces: node.pieces!, bytes: sink.bytes };
}

async function change(s: Awaited<ReturnType<typeof openOver>>, at: number, content: Buffer): Promise<void> {
  const id = await s.find("/f");
  await s.change((fs) => fs.write(root, id, at, content));
}

test("of a file of 32 MiB with 64 changed bytes some chunks are read, and the others named", async (t) => {
  const content = makeBytes(32 * 1024 * 1024, "large");
  const base = cutFile([content]);
  const s = await openOver(t, base);
  await change(s, 16_000_000, Buffer.alloc(64, "x"));
  const { pieces, bytes } = await seal(s, base.pieces!);
  Buffer.alloc(64, "x").copy(content, 16_000_000);
  t.deepEqual(pieces, cutFile([content]).pieces);
  t.true(bytes <= 2 * 1024 * 1024, `${bytes} bytes`);
  const known = new Set(base.pieces!.map(({ hash }) => hash));
  t.true(pieces.filter(({ hash }) => !known.has(hash)).length <= 3);
});

test("what the store no longer has is read and sent again", async (t) => {
  const content = makeBytes(3_000_000, "gone");
  const base = cutFile([content]);
  const s = await openOver(t, base);
  await change(s, 10, Buffer.alloc(1, "x"));
  const lost = base.pieces!.filter((_, index) => index !== 20);
  const { pieces, bytes } = await seal(s, lost);
  Buffer.alloc(1, "x").copy(content, 10);
  t.deepEqual(pieces, cutFile([content]).pieces);
  t.true(bytes >= base.pieces![20].length);
});

test("however a file was changed, its pieces are those of its whole content (S1)", async (t) => {
  const bytes = (most: number) => fc.nat(most).map((length) => makeBytes(length, `bytes ${length}`));
  // Of a file that nothing has changed the root says nothing: it is the layer's own.
  const some = (most: number) =>
    fc.integer({ min: 1, max: most }).map((length) => makeBytes(length, `bytes ${length}`));
  const write = fc.record({ kind: fc.constant("write" as const), at: fc.nat(900_000), content: some(200_000) });
  const small = fc.record({ kind: fc.constant("write" as const), at: fc.nat(900_000), content: some(100) });
  const cut = fc.record({ kind: fc.constant("size" as const), size: fc.nat(1_200_000) });
  const hole = fc.integer({ min: 1, max: 100_000 });
  // Never two contents side by side: those are one, and are cut as one.
  const layer = fc.oneof(fc.tuple(bytes(900_000)), fc.tuple(bytes(500_000), hole, bytes(500_000), hole));
  await fc.assert(
    fc.asyncProperty(
      layer,
      fc.array(fc.oneof(small, small, write, cut), { minLength: 1, maxLength: 5 }),
      async (runs, steps) => {
        const base = cutFile(runs.filter((run) => typeof run === "number" || run.length > 0));
        const s = await openOver(t, base);
        const id = await s.find("/f");
        for (const step of steps) {
          if (step.kind === "size") await s.change((fs) => fs.setAttributes(root, id, { size: step.size }));
          else await change(s, step.at, step.content);
        }
        const held = base.pieces!.filter(({ hash }) => hash !== undefined);
        const sealed = await seal(s, held);
        const whole = await seal(s, []);
        t.deepEqual(sealed.pieces, whole.pieces);
        t.true(sealed.bytes <= whole.bytes + 4 * 1024 * 1024);
      },
    ),
    { numRuns: 20 },
  );
});
