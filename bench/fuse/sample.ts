/** The same files for both: as a sealed tree in memory, and as a directory. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { blake3 } from "@napi-rs/blake-hash";
import { encodeTree } from "../../cowfs/trees/encode.ts";
import { createDirectoryNode, createFileNode } from "../../cowfs/trees/node.ts";
import { openTree } from "../../cowfs/trees/open.ts";
import type { Tree } from "../../cowfs/trees/tree.ts";

/** As a Debian root has them: some twenty files a directory. */
const filesPerDirectory = 20;

function contentOf(index: number): Buffer {
  return Buffer.from(`file ${index}\n`.repeat(1 + (index % 50)));
}

function pathOf(index: number): [directory: string, name: string] {
  return [`d${Math.floor(index / filesPerDirectory)}`, `f${index}`];
}

export function sealSample(files: number): Tree {
  const root = createDirectoryNode({ permissions: 0o755 });
  const chunks = new Map<string, Buffer>();
  for (let index = 0; index < files; index++) {
    const content = contentOf(index);
    const hash = blake3(content).toString("hex");
    chunks.set(hash, content);
    const [directory, name] = pathOf(index);
    const known = root.children.get(directory) as ReturnType<typeof createDirectoryNode> | undefined;
    const parent = known ?? createDirectoryNode({ permissions: 0o755 });
    root.children.set(directory, parent);
    const pieces = [{ offset: 0, length: content.length, hash }];
    parent.children.set(name, createFileNode({ permissions: 0o644 }, pieces, content.length));
  }
  const encoded = encodeTree(root);
  const space = Buffer.concat(encoded.chunks.map(({ hash }) => chunks.get(hash)!));
  const read = (address: number, length: number, target: Buffer, at: number) =>
    void space.copy(target, at, address, address + length);
  return openTree(encoded.index, { read }, encoded.id);
}

export async function writeSample(directory: string, files: number): Promise<void> {
  for (let index = 0; index < files; index++) {
    const [parent, name] = pathOf(index);
    if (index % filesPerDirectory === 0) await mkdir(join(directory, parent), { recursive: true });
    await writeFile(join(directory, parent, name), contentOf(index));
  }
}
