/** Opens the index of a tree as the file server does and prints what that took, as JSON: an `Opening`. */
import { readFileSync } from "node:fs";
import { openTree } from "../../cowfs/trees/open.ts";
import type { Opening } from "./command.ts";

const [path, id] = process.argv.slice(2);
const before = process.memoryUsage().rss;
const bytes = readFileSync(path);
const start = performance.now();
const used = process.cpuUsage();
const tree = openTree(bytes, { read: () => {} }, id);
const { user, system } = process.cpuUsage(used);
const ms = performance.now() - start;
gc!();
const opening: Opening = { ms, cpuMs: (user + system) / 1000, memoryBytes: process.memoryUsage().rss - before };
if (!tree.has(0)) throw new Error("the tree has no root");
console.log(JSON.stringify(opening));
