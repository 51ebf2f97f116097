/** A deterministic address space, the same in every process. */
import { blake3 } from "@napi-rs/blake-hash";
import { ChunkTable } from "../../../cowfs/trees/address-space.ts";

export const treeId = "5a".repeat(32);

/** `count` chunks of 1 to 30,000 bytes. */
export function makeSpaceContent(count: number): { content: Buffer; chunks: ChunkTable } {
  const ends = new Float64Array(count);
  const parts: Buffer[] = [];
  let end = 0;
  for (let chunk = 0; chunk < count; chunk++) {
    const part = Buffer.alloc(1 + ((chunk * 7919) % 30_000), blake3(`chunk ${chunk}`));
    parts.push(part);
    end += part.length;
    ends[chunk] = end;
  }
  return {
    content: Buffer.concat(parts),
    chunks: new ChunkTable(ends, Buffer.concat(parts.map((part) => blake3(part)))),
  };
}
