import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import test from "ava";
import fc from "fast-check";
import type { FileId, FileSystem } from "../../../cowfs/file-system.ts";
import { FileType } from "../../../cowfs/file-system.ts";
import type { TreeNode } from "../../../cowfs/trees/node.ts";
import { openUnion } from "../../../cowfs/union/union.ts";
import { makeFastDirectory } from "../fast-directory.ts";
import { createModel } from "../model/model.ts";
import { directory, file, resolveFrom, symlink } from "./layers.ts";
import { operation, perform } from "./operations.ts";
import { root, snapshot } from "./snapshot.ts";

const signal = AbortSignal.timeout(600_000);

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
const stacks: Record<string, { base?: string; layers: TreeNode[] }> = {
  "no layer": { layers: [] },
  "one layer": { base: "test://template", layers: [template] },
  "an overlay over a template": { base: "test://overlay", layers: [overlay, template] },
};
const resolve = resolveFrom({ "test://template": template, "test://overlay": overlay });

for (const [name, { base, layers }] of Object.entries(stacks))
  test(`over ${name}, random operations do what the model does, through a crash and when it is opened again`, async (t) => {
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 60 }), fc.nat(59), async (operations, crash) => {
        const home = makeFastDirectory();
        let journal = path.join(home, "journal");
        try {
          const model = createModel();
          model.transact(undefined, () => {
            model.setAttributes(root, model.rootId, { mode: 0o755 });
            fill(model, model.rootId, layers, new Map());
            return Buffer.alloc(0);
          });
          let union = await openUnion({ journal, base, resolve, signal });
          if (layers.length > 0) await warmUp(union);
          assert.deepEqual(snapshot(union), snapshot(model));
          for (const [index, step] of operations.entries()) {
            if (index === crash) {
              union.flush();
              const left = path.join(home, "left");
              fs.cpSync(journal, left, { recursive: true });
              await union.close();
              journal = left;
              union = await openUnion({ journal, base, resolve, signal });
              if (layers.length > 0) await warmUp(union);
              assert.deepEqual(snapshot(union), snapshot(model), "after a crash");
            }
            const [expected, found] = [perform(model, step), perform(union, step)];
            assert.equal(found, expected, `${JSON.stringify(step)}: ${found}, the model says ${expected}`);
          }
          const after = snapshot(model);
          assert.deepEqual(snapshot(union), after);
          await union.close();
          union = await openUnion({ journal, base, resolve, signal });
          if (layers.length > 0) await warmUp(union);
          assert.deepEqual(snapshot(union), after);
          await union.close();
        } finally {
          fs.rmSync(home, { recursive: true, force: true });
        }
      }),
      { numRuns: 60, includeErrorInReport: true },
    );
    t.pass();
  });

/** Brings the layers that `.mount` names, as a dispatcher does. */
async function warmUp(union: FileSystem): Promise<void> {
  const { runWithFaults } = await import("../../../cowfs/fault.ts");
  await runWithFaults(() => union.list(root, union.rootId, 0, 1), signal);
}
