"use strict";
/**
 * Makes node_modules what package-lock.json says.
 *
 * (B1) The stamp is written after npm has ended well and removed before npm starts, so an interrupted installation is
 *      never taken for a whole one.
 * (B2) One installation at a time: flock(1). The lock is inherited by npm, so it is held until npm has ended even when
 *      we are killed.
 * (B3) An installation made by hand (`npm install`) that matches the lockfile is adopted, not thrown away.
 */
const crypto = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");
const paths = require("./paths.cjs");
const exitCodes = require("./exit-codes.cjs");
const { gatherModules } = require("./gather-modules.cjs");
const { reportProgress } = require("./report-progress.cjs");
const { runChild, endLike } = require("./run-child.cjs");

const lockSeconds = 900;

/** True when node_modules is whole and of this lockfile. Reads two small files. */
function areNpmPackagesInstalled() {
  return readOr(paths.stamp, "") === stampText() && fs.existsSync(paths.node);
}

/** Installs under the lock; resolves to an exit code, 0 when all is there. */
async function installNpmPackages() {
  fs.mkdirSync(paths.state, { recursive: true });
  const lock = path.join(paths.state, "bootstrap.lock");
  const flock = ["flock", "--no-fork", "--timeout", `${lockSeconds}`, "--conflict-exit-code", `${exitCodes.locked}`];
  const result = await runChild([...flock, lock, process.execPath, __filename]);
  if (result.signal !== null) endLike(result);
  if (result.code === exitCodes.locked) {
    process.stderr.write(`Another installation holds ${lock} for more than ${lockSeconds} s: see what it waits for.\n`);
  }
  return result.code;
}

async function installUnderLock() {
  if (areNpmPackagesInstalled()) return 0;
  if (matchesLockfile()) {
    await gatherModules(paths.modules);
    fs.writeFileSync(paths.stamp, stampText());
    return 0;
  }
  fs.rmSync(paths.stamp, { force: true });

  const count = Object.keys(readJson(paths.lockfile).packages).length - 1;
  const progress = reportProgress(`Installing ${count} npm packages (package-lock.json)`);
  // --include=dev: the tests' tools also where NODE_ENV=production; engine warnings of the old Node are noise.
  const flags = ["--include=dev", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"];
  const result = await runChild([...npmCommand(), "ci", ...flags], {
    cwd: paths.root,
    env: { ...process.env, npm_config_loglevel: "error" },
    onLine: (line) => progress.detail(line),
  });
  if (result.signal === null && result.code === 0 && fs.existsSync(paths.node)) {
    await gatherModules(paths.modules);
    fs.writeFileSync(paths.stamp, stampText());
    progress.end("done");
    return 0;
  }
  progress.end("failed");
  process.stderr.write(`${result.output}\nnpm ci failed: see above. Run the command again to try again.\n`);
  return exitCodes.unavailable;
}

/** The npm that runs us, if one does; else the one on PATH. */
function npmCommand() {
  const runner = process.env.npm_execpath || "";
  return path.basename(runner) === "npm-cli.js" ? [process.execPath, runner] : ["npm"];
}

function stampText() {
  const hash = crypto.createHash("sha256").update(fs.readFileSync(paths.lockfile)).digest("hex");
  return `${hash}  package-lock.json\n`;
}

/** Compares npm's own record of what it installed with the lockfile: every package, by content. */
function matchesLockfile() {
  const installed = readJson(paths.installedLockfile).packages;
  const wanted = readJson(paths.lockfile).packages;
  if (installed === undefined || wanted === undefined || !fs.existsSync(paths.node)) return false;
  for (const [name, { integrity, optional }] of Object.entries(wanted)) {
    if (name === "") continue;
    if (installed[name] === undefined ? !optional : installed[name].integrity !== integrity) return false;
  }
  return Object.keys(installed).every((name) => wanted[name] !== undefined);
}

function readJson(file) {
  try {
    return JSON.parse(fs.readFileSync(file, "utf8"));
  } catch (error) {
    if (error.code === "ENOENT" || error instanceof SyntaxError) return {};
    throw error;
  }
}

function readOr(file, otherwise) {
  try {
    return fs.readFileSync(file, "utf8");
  } catch (error) {
    if (error.code === "ENOENT") return otherwise;
    throw error;
  }
}

if (require.main === module) {
  installUnderLock().then((code) => {
    process.exitCode = code;
  });
}

module.exports = { areNpmPackagesInstalled, installNpmPackages };
