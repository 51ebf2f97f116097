/**
 * Checks that imports only go down (DESIGN 2): cowfs < xenostore < templates < xenod < control < bench < scripts <
 * test. The scripts' JSON files are data that any floor may read.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { root } from "../root.ts";

export const floors = ["cowfs", "xenostore", "templates", "xenod", "control", "bench", "scripts", "test"];

const specifier = /(?:\bfrom|\bimport|\bimport\s*\(|\brequire\s*\()\s*["'](\.[^"']*)["']/g;

/** One line for each import that goes up or leaves the house. That the file exists is the type check's to say. */
export function findBadImports(house: string): string[] {
  const bad: string[] = [];
  for (const [rank, floor] of floors.entries()) {
    for (const file of listSources(join(house, floor))) {
      for (const [, target = ""] of readFileSync(file, "utf8").matchAll(specifier)) {
        const path = resolve(dirname(file), target);
        const targetFloor = relative(house, path).split(sep)[0]!;
        const isData = targetFloor === "scripts" && path.endsWith(".json");
        const from = relative(house, file);
        if (!floors.includes(targetFloor)) bad.push(`${from}: "${target}" is on no floor`);
        else if (floors.indexOf(targetFloor) > rank && !isData)
          bad.push(`${from}: ${floor} may not use ${targetFloor}`);
      }
    }
  }
  return bad;
}

function listSources(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(
      (entry) => entry.isFile() && /\.(ts|cjs|mjs|js)$/.test(entry.name) && !entry.parentPath.includes("node_modules"),
    )
    .map((entry) => join(entry.parentPath, entry.name));
}

if (import.meta.main) {
  const bad = findBadImports(root);
  for (const line of bad) console.log(line);
  process.exitCode = bad.length === 0 ? 0 : 1;
}
