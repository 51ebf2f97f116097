/** Writes the index of a tree of N small files, twenty a directory, a tenth of them different; prints the tree's id. */
import { writeFileSync } from "node:fs";
import { blake3 } from "@napi-rs/blake-hash";
import { encodeTree } from "../../cowfs/trees/encode.ts";
import { createDirectoryNode, createFileNode } from "../../cowfs/trees/node.ts";

const [path, count] = process.argv.slice(2);
const files = Number(count);
const filesPerDirectory = 20;
const fileBytes = 1000;

const root = createDirectoryNode({ permissions: 0o755 });
for (let index = 0; index < files; ) {
  const directory = createDirectoryNode({ permissions: 0o755 });
  root.children.set(`directory-${index}`, directory);
  for (const end = Math.min(files, index + filesPerDirectory); index < end; index++) {
    const hash = blake3(`${index % Math.ceil(files / 10)}`).toString("hex");
    const pieces = [{ offset: 0, length: fileBytes, hash }];
    directory.children.set(`file-${index}.txt`, createFileNode({ permissions: 0o644 }, pieces, fileBytes));
  }
}
const { index, id } = encodeTree(root);
writeFileSync(path, index);
console.log(id);
