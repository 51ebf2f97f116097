/** The reference model with what layers show in it, and the union compared with it: names, attributes, content, identity. */
import assert from "node:assert/strict";
import { FileSystemError } from "../../../cowfs/errors.ts";
import { type FileId, type FileSystem, FileType } from "../../../cowfs/file-system.ts";
import type { TreeNode } from "../../../cowfs/trees/node.ts";
import { createModel } from "../model/model.ts";
import { file } from "./layers.ts";
import { listNames, root, snapshot } from "./snapshot.ts";

const contents = new Map<TreeNode, Buffer>();

/** A file whose content the model can be given too. */
export function text(content: string, permissions = 0o644): TreeNode {
  const node = file(content, permissions);
  contents.set(node, Buffer.from(content));
  return node;
}

/** A model of what layers show at a root, strongest first. */
export function modelOf(layers: readonly TreeNode[]): FileSystem {
  const model = createModel();
  model.transact(undefined, () => {
    model.setAttributes(root, model.rootId, { mode: 0o755 });
    fill(model, model.rootId, layers, new Map());
    return Buffer.alloc(0);
  });
  return model;
}

/** Lays a merged view of layers into the model, by the rules of DESIGN 4 written down once more, plainly. */
function fill(model: FileSystem, at: FileId, layers: readonly TreeNode[], made: Map<TreeNode, FileId>): void {
  const names = new Set(layers.flatMap((layer) => [...layer.children!.keys()]));
  for (const name of names) {
    const merged: TreeNode[] = [];
    for (const layer of layers) {
      const child = layer.children!.get(name);
      if (child === "whiteout") break;
      if (child === undefined) continue;
      if (merged.length > 0 && child.children === undefined) break;
      merged.push(child);
      if (child.children === undefined || child.opaque === true) break;
    }
    const [node] = merged;
    if (node === undefined) continue;
    const known = made.get(node);
    if (known !== undefined) model.link(root, known, at, name);
    else if (node.children !== undefined) {
      const id = model.createDirectory(root, at, name, { mode: node.mode & 0o7777 });
      fill(model, id, merged, made);
    } else if ((node.mode & FileType.mask) === FileType.symlink) model.createSymlink(root, at, name, node.target!, {});
    else {
      const id = model.createFile(root, at, name, { mode: node.mode & 0o7777 }, { kind: "guarded" });
      model.write(root, id, 0, contents.get(node)!);
      made.set(node, id);
    }
  }
}

/** Compares a union with the model, and remembers who was who: what an id once named it names for ever, or is stale. */
export class Comparison {
  readonly #model: FileSystem;
  readonly #unionIds = new Map<FileId, FileId>();

  constructor(model: FileSystem) {
    this.#model = model;
  }

  check(union: FileSystem, when: string): void {
    assert.deepEqual(snapshot(union), snapshot(this.#model), when);
    const seen = new Set<FileId>();
    this.#match(union, union.rootId, this.#model.rootId, seen, when);
    for (const [modelId, unionId] of this.#unionIds) {
      if (seen.has(modelId)) continue;
      assert.throws(() => union.getAttributes(unionId), isStale, `${when}: the handle of what is gone`);
      this.#unionIds.delete(modelId);
    }
  }

  #match(union: FileSystem, unionId: FileId, modelId: FileId, seen: Set<FileId>, when: string): void {
    const known = this.#unionIds.get(modelId);
    assert.equal(unionId, known ?? unionId, `${when}: the identity of ${modelId}`);
    this.#unionIds.set(modelId, unionId);
    if (seen.has(modelId)) return;
    seen.add(modelId);
    if ((this.#model.getAttributes(modelId).mode & FileType.mask) !== FileType.directory) return;
    for (const name of listNames(this.#model, modelId)) {
      const [inUnion, inModel] = [union.lookup(root, unionId, name), this.#model.lookup(root, modelId, name)];
      this.#match(union, inUnion, inModel, seen, when);
      if (this.#model.getAttributes(inModel).mode >> 12 !== 4) continue;
      assert.equal(union.lookup(root, inUnion, ".."), unionId, `${when}: the parent of ${name}`);
    }
  }
}

function isStale(error: unknown): boolean {
  return error instanceof FileSystemError && error.code === "ESTALE";
}
