/**
 * The programs that run in dom0, each with all that it imports in a few files: Xenod's 1,650 modules take
 * 1.1 s to start on a real machine, and its bundle 0.27 s; emulated, fifty times that.
 *
 * What finds its neighbours by its own place (`import.meta`) goes on finding them where the checkout lies in dom0.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { build, type Plugin } from "esbuild";

const checkout = join(import.meta.dirname, "..", "..");
/** Where the checkout lies in dom0. */
export const checkoutInside = "/project";
const bundle = "bundle";
/** Native ones, which are files of their own; and ava, which finds out who imports it. */
const leftOut = ["@napi-rs/*", "@node-rs/*", "ava"];
/** What packages that are no ES modules expect. */
const surroundings = [
  'import { createRequire as createRequireHere } from "node:module";',
  "const require = createRequireHere(import.meta.url);",
  "const __filename = import.meta.filename, __dirname = import.meta.dirname;",
].join("\n");

/** `programs`: paths in the checkout. In `directory`, a copy of it, each becomes one that runs its bundle. */
export async function bundlePrograms(programs: readonly string[], directory: string): Promise<void> {
  await build({
    absWorkingDir: checkout,
    entryPoints: [...programs],
    outdir: join(directory, bundle),
    outbase: checkout,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node24",
    // Half as much to read and to hash; of one byte a character.
    minifyWhitespace: true,
    legalComments: "none",
    external: leftOut,
    banner: { js: surroundings },
    plugins: [keepPlaces],
    logLevel: "silent",
  });
  for (const program of programs) {
    const bundled = `${checkoutInside}/${bundle}/${program.replace(/\.ts$/, ".js")}`;
    await mkdir(dirname(join(directory, program)), { recursive: true });
    await writeFile(join(directory, program), `import ${JSON.stringify(bundled)};\n`);
  }
}

const keepPlaces: Plugin = {
  name: "keep-places",
  setup({ onLoad }) {
    onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      if (path.includes("/node_modules/")) return undefined;
      const place = join(checkoutInside, relative(checkout, path));
      const text = await readFile(path, "utf8");
      const contents = text
        .replaceAll("import.meta.url", JSON.stringify(`file://${place}`))
        .replaceAll("import.meta.dirname", JSON.stringify(dirname(place)));
      return { contents, loader: "ts" };
    });
  },
};
