import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import test from "ava";

type Gather = (modules: string, names: readonly string[]) => Promise<void>;
const { gatherModules }: { gatherModules: Gather } = createRequire(import.meta.url)(
  "../../scripts/bootstrap/gather-modules.cjs",
);
const ours = path.join(import.meta.dirname, "../../node_modules");
/** Both entry points count in one place, and one of them needs another package. */
const files = {
  "counted/package.json": JSON.stringify({
    name: "counted",
    type: "module",
    exports: { ".": { types: "./none.d.ts", import: "./build/index.js" }, "./more": "./build/more.js" },
  }),
  "counted/build/index.js": `export * from "./count.js"; export { other } from "other";`,
  "counted/build/more.js": `import { add } from "./count.js"; export const addTwice = () => (add(), add());`,
  "counted/build/count.js": `let count = 0; export const add = () => ++count;`,
  "other/package.json": JSON.stringify({ name: "other", type: "module", exports: "./index.js" }),
  "other/index.js": `export const other = "another package";`,
  "broken/package.json": JSON.stringify({ name: "broken", exports: "./index.js" }),
  "broken/index.js": `export const = ;`,
};
const program = `import { add, other } from "counted"; import { addTwice } from "counted/more";
add(); addTwice(); console.log(add(), other);`;

test("(G1), (G2) a gathered package has its entry points, which share their modules, also when it is gathered again", async (t) => {
  const directory = await mkdtemp(path.join(tmpdir(), "xeno-gather-"));
  t.teardown(() => rm(directory, { recursive: true }));
  const modules = path.join(directory, "node_modules");
  for (const [name, text] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(modules, name)), { recursive: true });
    await writeFile(path.join(modules, name), text);
  }
  await symlink(path.join(ours, "@esbuild"), path.join(modules, "@esbuild"));
  await writeFile(path.join(directory, "program.mjs"), program);
  const run = async () => (await promisify(execFile)(process.execPath, [path.join(directory, "program.mjs")])).stdout;
  t.is(await run(), "4 another package\n");
  for (const _ of ["first", "again"]) {
    await gatherModules(modules, ["counted"]);
    t.is(await run(), "4 another package\n");
    const left = await readdir(path.join(modules, "counted"));
    t.true(left.some((name) => name.startsWith("gathered-")) && !left.includes(".gathered"), `${left}`);
  }
  // What was put together is used: without the module it came from.
  await rm(path.join(modules, "counted/build/count.js"));
  t.is(await run(), "4 another package\n");
});

test("(G3) a package that cannot be gathered stays as it is", async (t) => {
  const modules = await mkdtemp(path.join(tmpdir(), "xeno-gather-"));
  t.teardown(() => rm(modules, { recursive: true }));
  await mkdir(path.join(modules, "broken"));
  for (const name of ["broken/package.json", "broken/index.js"] as const)
    await writeFile(path.join(modules, name), files[name]);
  for (const hasEsbuild of [false, true]) {
    if (hasEsbuild) await symlink(path.join(ours, "@esbuild"), path.join(modules, "@esbuild"));
    await gatherModules(modules, ["broken", "missing"]);
    t.deepEqual((await readdir(path.join(modules, "broken"))).sort(), ["index.js", "package.json"]);
  }
});
