"use strict";
/**
 * What `npm start`, `npm test` and `npm run …` call: makes a clean clone ready, then runs the program with the Node that
 * the lockfile names. Plain CommonJS without dependencies, because it must run on the Node 18 of Debian 12 before
 * anything is installed.
 *
 * Exit codes: the program's own, or one of bootstrap/exit-codes.cjs.
 */
const fs = require("node:fs");
const path = require("node:path");
const paths = require("./bootstrap/paths.cjs");
const exitCodes = require("./bootstrap/exit-codes.cjs");
const { areNpmPackagesInstalled, installNpmPackages } = require("./bootstrap/install-npm-packages.cjs");
const { installDebianPackages } = require("./bootstrap/install-debian-packages.cjs");
const { runChild, endLike } = require("./bootstrap/run-child.cjs");

/** Program, fixed first arguments, and what it needs of Debian. */
const entries = {
  start: { program: "control/demo/main.ts", debian: ["run"] },
  test: { program: "scripts/test.ts", debian: ["run", "test"] },
  lint: { program: "scripts/check.ts", args: ["lint"] },
  check: { program: "scripts/check.ts" },
  soak: { program: "test/soak/main.ts", debian: ["run", "test"] },
  bench: { program: "bench/main.ts", debian: ["run", "bench"] },
  "xen-lab": { program: "test/xen-lab/main.ts", debian: ["run", "xen"] },
  "test:fresh": { program: "scripts/test-fresh.ts", debian: ["fresh"] },
  // The user's relative paths count from where npm was called; it changes to the checkout before it calls us.
  xeno: { program: "control/cli/main.ts", cwd: process.env.INIT_CWD },
  /** For bin/xeno: the packages only. */
  install: {},
};

async function main([name, ...args]) {
  const entry = Object.hasOwn(entries, name || "") ? entries[name] : undefined;
  if (entry === undefined) {
    process.stderr.write(`Usage: node scripts/bootstrap.cjs ${Object.keys(entries).join("|")} [ARGUMENT…]\n`);
    return exitCodes.usage;
  }
  if (entry.program !== undefined && !fs.existsSync(path.join(paths.root, entry.program))) {
    process.stderr.write(`${name}: ${entry.program} is not in this checkout.\n`);
    return exitCodes.usage;
  }
  if (process.platform !== "linux" || process.arch !== "x64") {
    process.stderr.write(`XenoServer runs on x86-64 Linux; this is ${process.platform} on ${process.arch}.\n`);
    return exitCodes.unavailable;
  }

  if (!areNpmPackagesInstalled()) {
    const code = await installNpmPackages();
    if (code !== 0) return code;
  }
  const code = await installDebianPackages(entry.debian || []);
  if (code !== 0 || entry.program === undefined) return code;

  const program = [paths.node, path.join(paths.root, entry.program), ...(entry.args || []), ...args];
  const result = await runChild(program, { cwd: entry.cwd, env: programEnvironment(), endWithUs: true });
  if (result.signal !== null) endLike(result);
  return result.code;
}

/**
 * `node`, ava and the rest first; and the programs of root, which su(1) does not put on PATH. Of a start of Node here, half
 * is compiling, which is the same each time: the cache serves whatever the program starts, too.
 */
function programEnvironment() {
  const folders = (process.env.PATH || "/usr/local/bin:/usr/bin:/bin").split(":");
  const missing = ["/usr/sbin", "/sbin"].filter((folder) => !folders.includes(folder));
  const PATH = [path.join(paths.modules, ".bin"), ...folders, ...missing].join(":");
  return { NODE_COMPILE_CACHE: path.join(paths.modules, ".cache/node"), ...process.env, PATH };
}

main(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
