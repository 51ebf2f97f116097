/** Stacks of layers for tests. */
import { runWithFaults } from "../../../cowfs/fault.ts";
import type { FileSystem } from "../../../cowfs/file-system.ts";
import type { TreeNode } from "../../../cowfs/trees/node.ts";
import { text } from "./fill-model.ts";
import { directory, resolveFrom, symlink } from "./layers.ts";
import { root } from "./snapshot.ts";

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

/** Brings the layers that `.mount` names, as a dispatcher does. */
export async function warmUp(union: FileSystem): Promise<void> {
  await runWithFaults(() => union.list(root, union.rootId, 0, 1), AbortSignal.timeout(600_000));
}
