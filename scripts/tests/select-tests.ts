import { globSync } from "node:fs";
import { root } from "../root.ts";

export interface SelectedTests {
  readonly unit: string[];
  readonly endToEnd: string[];
  /** Two emulated Xen hosts, for ten minutes and more. */
  readonly xenLab: string[];
}

/** The test files, or those that lie at or under one of the paths (relative to the checkout). */
export function selectTests(paths: readonly string[]): SelectedTests {
  const wanted = paths.map((path) => path.replace(/^\.\//, "").replace(/\/$/, ""));
  const files = globSync("test/**/*.test.ts", { cwd: root })
    .filter((file) => wanted.length === 0 || wanted.some((path) => file === path || file.startsWith(`${path}/`)))
    .sort();
  const under = (folder: string) => files.filter((file) => file.startsWith(folder));
  const [endToEnd, xenLab] = [under("test/end-to-end/"), under("test/xen-lab/")];
  const apart = new Set([...endToEnd, ...xenLab]);
  return { unit: files.filter((file) => !apart.has(file)), endToEnd, xenLab };
}
