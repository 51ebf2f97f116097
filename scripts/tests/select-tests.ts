import { globSync } from "node:fs";
import { root } from "../root.ts";

export interface SelectedTests {
  readonly unit: string[];
  readonly endToEnd: string[];
}

/** The test files, or those of them that lie at or under one of the paths (relative to the checkout). */
export function selectTests(paths: readonly string[]): SelectedTests {
  const wanted = paths.map((path) => path.replace(/^\.\//, "").replace(/\/$/, ""));
  const files = globSync("test/**/*.test.ts", { cwd: root })
    .filter((file) => wanted.length === 0 || wanted.some((path) => file === path || file.startsWith(`${path}/`)))
    .sort();
  const isEndToEnd = (file: string) => file.startsWith("test/end-to-end/");
  return { unit: files.filter((file) => !isEndToEnd(file)), endToEnd: files.filter(isEndToEnd) };
}
