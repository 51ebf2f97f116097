/** Stacks of layers for tests, and the model filled with what they show. */
import { runWithFaults } from "../../../cowfs/fault.ts";
import { type FileId, type FileSystem, FileType } from "../../../cowfs/file-system.ts";
import type { TreeNode } from "../../../cowfs/trees/node.ts";
import { createModel } from "../model/model.ts";
import { directory, file, resolveFrom, symlink } from "./layers.ts";
import { root } from "./snapshot.ts";

/** Lays a merged view of layers into the model, by the rules of DESIGN 4 written down once more, plainly. */
function fill(model: FileSystem, at: FileId, layers: TreeNode[], made: Map<TreeNode, FileId>): void {
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

const contents = new Map<TreeNode, Buffer>();
function text(content: string, permissions = 0o644): TreeNode {
  const node = file(content, permissions);
  contents.set(node, Buffer.from(content));
  return node;
}

const shared = text("one file with two names");
const template = directory({
  a: directory({
    a: text("lower a/a"),
    b: directory({ c: text("deep") }),
    c: symlink("a"),
    d: directory({ c: shared }),
  }),
  b: directory({ a: directory({}), b: text("hidden by the overlay") }),
  c: text("a file of the template", 0o4755),
  d: shared,
});
const overlay = directory({
  a: directory({ a: text("upper a/a"), b: directory({ d: "whiteout", a: text("added") }), d: directory({}) }),
  b: directory({ c: text("opaque") }, true),
  c: "whiteout",
  ".mount": text("ro test://template\n"),
});
export const stacks: Record<string, { base?: string; layers: TreeNode[] }> = {
  "no layer": { layers: [] },
  "one layer": { base: "test://template", layers: [template] },
  "an overlay over a template": { base: "test://overlay", layers: [overlay, template] },
};
export const resolve = resolveFrom({ "test://template": template, "test://overlay": overlay });

/** A model that shows what a union over the layers shows at first. */
export function createFilledModel(layers: TreeNode[]): FileSystem {
  const model = createModel();
  model.transact(undefined, () => {
    model.setAttributes(root, model.rootId, { mode: 0o755 });
    fill(model, model.rootId, layers, new Map());
    return Buffer.alloc(0);
  });
  return model;
}

/** Brings the layers that `.mount` names, as a dispatcher does. */
export async function warmUp(union: FileSystem): Promise<void> {
  await runWithFaults(() => union.list(root, union.rootId, 0, 1), AbortSignal.timeout(600_000));
}
