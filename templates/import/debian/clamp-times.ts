import type { TreeNode } from "../../../cowfs/trees/node.ts";

/**
 * Gives everything that was written while the system was made the time of the newest file that a package brought, so
 * that the time of an import is no part of the tree's id. `startedSeconds` is when the making began.
 */
export function clampTimes(root: TreeNode, startedSeconds: number): void {
  let newest = 0;
  for (const { modified } of walk(root))
    if (modified.seconds < startedSeconds && modified.seconds > newest) newest = modified.seconds;
  for (const node of walk(root))
    if (node.modified.seconds >= startedSeconds) node.modified = { seconds: newest, nanoseconds: 0 };
}

/** Every node once for each of its names. */
function* walk(root: TreeNode): Generator<TreeNode> {
  const waiting: TreeNode[] = [root];
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    yield node;
    for (const child of node.children?.values() ?? []) if (child !== "whiteout") waiting.push(child);
  }
}
