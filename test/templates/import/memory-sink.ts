import { createHash } from "node:crypto";
import type { TreeNode } from "../../../cowfs/trees/node.ts";
import type { Piece } from "../../../cowfs/trees/tree.ts";
import type { ContentSink } from "../../../xenostore/publish/content-sink.ts";

/** Keeps content in memory, one chunk a part; the names are not BLAKE3, which no importer knows. */
export class MemorySink implements ContentSink {
  readonly #chunks = new Map<string, Buffer>();

  async addContent(content: Buffer | AsyncIterable<Buffer>): Promise<Piece[]> {
    const pieces: Piece[] = [];
    let offset = 0;
    for await (const part of Buffer.isBuffer(content) ? [content] : content) {
      const hash = createHash("sha256").update(part).digest("hex");
      this.#chunks.set(hash, Buffer.from(part));
      pieces.push({ offset, length: part.length, hash });
      offset += part.length;
    }
    return pieces;
  }

  read(node: TreeNode): Buffer {
    return Buffer.concat((node.pieces ?? []).map(({ hash }) => this.#chunks.get(hash!)!));
  }
}

/** The node under a path; fails where there is none. */
export function at(root: TreeNode, path: string): TreeNode {
  let node: TreeNode | "whiteout" | undefined = root;
  for (const name of path.split("/")) node = node === "whiteout" ? undefined : node?.children?.get(name);
  if (node === undefined || node === "whiteout") throw new Error(`no ${path}`);
  return node;
}
