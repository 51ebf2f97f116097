/** A small system to publish: files small and large, all in memory. */
import { blake3 } from "@napi-rs/blake-hash";
import { createDirectoryNode, createFileNode, createSymlinkNode, type TreeNode } from "../../../cowfs/trees/node.ts";
import type { Publication } from "../../../xenostore/publish/publication.ts";

/** `length` bytes that do not repeat much and do not compress away, the same for the same seed. */
export function makeBytes(length: number, seed: string): Buffer {
  const parts: Buffer[] = [];
  for (let i = 0; i * 32 < length; i++) parts.push(blake3(`${seed} ${i}`));
  return Buffer.concat(parts).subarray(0, length);
}

export type Files = Record<string, Buffer>;

export const templateFiles: Files = {
  "etc/hostname": Buffer.from("debian\n"),
  "usr/lib/large.so": makeBytes(1_500_000, "large"),
  "usr/lib/other.so": makeBytes(700_000, "other"),
  ...Object.fromEntries(
    Array.from({ length: 60 }, (_, i) => [`usr/share/doc/${i}`, makeBytes(100 + 331 * i, `doc ${i}`)]),
  ),
};

/** Adds all files to the publication and builds their tree. */
export async function addFiles(publication: Publication, files: Files): Promise<TreeNode> {
  const root = createDirectoryNode({ permissions: 0o755 });
  for (const [path, content] of Object.entries(files)) {
    let directory: TreeNode = root;
    const components = path.split("/");
    for (const component of components.slice(0, -1)) {
      const next = directory.children!.get(component) ?? createDirectoryNode({ permissions: 0o755 });
      directory.children!.set(component, next);
      directory = next as TreeNode;
    }
    const pieces = await publication.addContent(content);
    directory.children!.set(components.at(-1)!, createFileNode({ permissions: 0o644 }, pieces, content.length));
  }
  root.children.set("lib", createSymlinkNode({ permissions: 0o777 }, "usr/lib"));
  return root;
}
