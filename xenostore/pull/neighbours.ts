/**
 * Chunks that another tree has in this cache are copied from there, not fetched: most of a new version of a template is
 * its last version, and an overlay holds some of its template.
 *
 * A neighbour is read without its lock, whoever has it open and whatever becomes of it meanwhile: each chunk is verified
 * where it is stored (R1), and one that is not what it should be is fetched.
 */
import fs from "node:fs/promises";
import path from "node:path";
import { blake3 } from "@napi-rs/blake-hash";
import { XenoError } from "../../cowfs/errors.ts";
import type { ChunkTable } from "../../cowfs/trees/address-space.ts";
import { readChunkTable } from "../../cowfs/trees/open.ts";
import { readResidency } from "../../cowfs/trees/residency.ts";
import type { FetchChunks } from "../../cowfs/trees/resident.ts";
import { SpaceFiles } from "../../cowfs/trees/space-files.ts";
import { validateIndex } from "../../cowfs/trees/validate.ts";
import type { Layout } from "../packs/layout.ts";

/** Those that were used last: beyond these few, reading their indexes costs more than it finds. */
const maxNeighbours = 4;

/** Where the chunks of a tree lie in a neighbour. */
interface Neighbour {
  readonly directory: string;
  readonly treeId: string;
  readonly chunks: ChunkTable;
  /** By the tree's own chunk number: the neighbour's. */
  readonly shared: ReadonlyMap<number, number>;
}

/** The same fetcher, which first looks at what the cache's other trees have. `onCopied` is told the bytes. */
export function copyFromNeighbours(
  fetch: FetchChunks,
  treesDirectory: string,
  treeId: string,
  chunks: ChunkTable,
  layout: Layout,
  onCopied: (bytes: number) => void,
): FetchChunks {
  let finding: Promise<Neighbour[]> | undefined;
  return async (wanted, options) => {
    finding ??= findNeighbours(treesDirectory, treeId, chunks, layout);
    const copied = await copyChunks(await finding, wanted, chunks);
    for (const bytes of copied.values()) onCopied(bytes.length);
    const missing = wanted.filter((chunk) => !copied.has(chunk));
    if (missing.length === 0) return copied;
    return new Map([...(await fetch(missing, options)), ...copied]);
  };
}

async function findNeighbours(
  treesDirectory: string,
  treeId: string,
  chunks: ChunkTable,
  layout: Layout,
): Promise<Neighbour[]> {
  const names = await fs.readdir(treesDirectory).catch(() => []);
  const known: { name: string; usedAt: number }[] = [];
  for (const name of names) {
    const stat =
      name === treeId ? undefined : await fs.stat(path.join(treesDirectory, name, "residency")).catch(() => {});
    if (stat) known.push({ name, usedAt: stat.mtimeMs });
  }
  if (known.length === 0) return [];
  known.sort((a, b) => b.usedAt - a.usedAt);
  const ownChunks = numberByPlace(chunks, layout);
  const neighbours: Neighbour[] = [];
  for (const { name } of known.slice(0, maxNeighbours)) {
    const neighbour = await openNeighbour(path.join(treesDirectory, name), name, layout, ownChunks).catch((error) => {
      // Evicted meanwhile, half written, or of a newer format: it has nothing for us.
      if (error instanceof XenoError || typeof (error as NodeJS.ErrnoException).code === "string") return undefined;
      throw error;
    });
    if (neighbour && neighbour.shared.size > 0) neighbours.push(neighbour);
  }
  return neighbours;
}

async function openNeighbour(directory: string, treeId: string, layout: Layout, ownChunks: Int32Array) {
  const chunks = readChunkTable(validateIndex(await fs.readFile(path.join(directory, "index")), treeId));
  const shared = new Map<number, number>();
  for (let chunk = 0; chunk < chunks.count; chunk++) {
    const place = layout.find(chunks.hashBytes(chunk));
    const isSame = place !== -1 && ownChunks[place] !== -1 && layout.location(place).length === chunks.length(chunk);
    if (isSame) shared.set(ownChunks[place], chunk);
  }
  return { directory, treeId, chunks, shared };
}

/** The pack map is sorted by hash, which makes it an index of the tree's chunks: their numbers by their places in it. */
function numberByPlace(chunks: ChunkTable, layout: Layout): Int32Array {
  const numbers = new Int32Array(layout.chunkCount).fill(-1);
  for (let chunk = 0; chunk < chunks.count; chunk++) {
    const place = layout.find(chunks.hashBytes(chunk));
    if (place !== -1) numbers[place] = chunk;
  }
  return numbers;
}

async function copyChunks(
  neighbours: readonly Neighbour[],
  wanted: readonly number[],
  own: ChunkTable,
): Promise<Map<number, Buffer>> {
  const copied = new Map<number, Buffer>();
  for (const { directory, treeId, chunks, shared } of neighbours) {
    const left = wanted.filter((chunk) => shared.has(chunk) && !copied.has(chunk));
    if (left.length === 0) continue;
    const isResident = await readResidency(path.join(directory, "residency"), treeId, chunks.count);
    const files = new SpaceFiles(directory, chunks.bytes, "look");
    try {
      for (const chunk of left) {
        const there = shared.get(chunk)!;
        const bytes = Buffer.allocUnsafe(own.length(chunk));
        const isThere = isResident(there) && files.read(chunks.address(there), bytes.length, bytes, 0);
        if (isThere && own.hasHash(chunk, blake3(bytes))) copied.set(chunk, bytes);
      }
    } catch (error) {
      // A disk that cannot be read: what it holds is fetched.
      if (!(error instanceof XenoError)) throw error;
    } finally {
      files.close();
    }
  }
  return copied;
}
