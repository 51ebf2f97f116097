/** The same files for all: as a sealed tree in memory, and as a directory. */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { buffer } from "node:stream/consumers";
import { blake3 } from "@napi-rs/blake-hash";
import { pack } from "tar-stream";
import { encodeTree } from "../../cowfs/trees/encode.ts";
import { createDirectoryNode, createFileNode } from "../../cowfs/trees/node.ts";
import { openTree } from "../../cowfs/trees/open.ts";
import type { Tree } from "../../cowfs/trees/tree.ts";

type DirectoryNode = ReturnType<typeof createDirectoryNode>;

/** Contents by path. */
export type Sample = ReadonlyMap<string, Buffer>;

/** As a Debian root has them: some twenty files a directory. */
const filesPerDirectory = 20;
const sourceFiles = 30;
/** Of so many files one is in `packed`, too, and in the archive of it. */
const packedPart = 10;

/** `files` small ones, a tenth of them in `packed/`, an archive of those, and a program's sources. */
export async function makeSample(files: number): Promise<Sample> {
  const sample = new Map<string, Buffer>();
  const archive = pack();
  for (let index = 0; index < files; index++) {
    const content = Buffer.from(`file ${index}\n`.repeat(1 + (index % 50)));
    const path = `d${Math.floor(index / filesPerDirectory)}/f${index}`;
    if (index >= files / packedPart) {
      sample.set(path, content);
      continue;
    }
    sample.set(`packed/${path}`, content);
    archive.entry({ name: `packed/${path}` }, content);
  }
  archive.finalize();
  sample.set("packed.tar", await buffer(archive));
  for (const [path, content] of makeProgram()) sample.set(`source/${path}`, content);
  return sample;
}

function* makeProgram(): Generator<[path: string, content: Buffer]> {
  const names = Array.from({ length: sourceFiles }, (_, index) => `part${index}`);
  yield ["parts.h", Buffer.from(names.map((name) => `int ${name}(int);\n`).join(""))];
  for (const name of names)
    yield [`${name}.c`, Buffer.from(`#include "parts.h"\nint ${name}(int n) { return n + 1; }\n`)];
  const calls = names.reduce((inner, name) => `${name}(${inner})`, "0");
  yield ["main.c", Buffer.from(`#include "parts.h"\nint main(void) { return ${calls} - ${sourceFiles}; }\n`)];
}

export function sealSample(sample: Sample): Tree {
  const root = createDirectoryNode({ permissions: 0o755 });
  const contents = new Map<string, Buffer>();
  for (const [path, content] of sample) {
    const hash = blake3(content).toString("hex");
    contents.set(hash, content);
    const names = path.split("/");
    const name = names.pop()!;
    const pieces = [{ offset: 0, length: content.length, hash }];
    findParent(root, names).children.set(name, createFileNode({ permissions: 0o644 }, pieces, content.length));
  }
  const encoded = encodeTree(root);
  const space = Buffer.concat(encoded.chunks.map(({ hash }) => contents.get(hash)!));
  const read = (address: number, length: number, target: Buffer, at: number) =>
    void space.copy(target, at, address, address + length);
  return openTree(encoded.index, { read }, encoded.id);
}

function findParent(root: DirectoryNode, names: readonly string[]): DirectoryNode {
  let parent = root;
  for (const name of names) {
    const known = parent.children.get(name) as DirectoryNode | undefined;
    const next = known ?? createDirectoryNode({ permissions: 0o755 });
    parent.children.set(name, next);
    parent = next;
  }
  return parent;
}

export async function writeSample(directory: string, sample: Sample): Promise<void> {
  for (const [path, content] of sample) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), content);
  }
}
