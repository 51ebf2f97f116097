"use strict";
/** Installs the Debian packages of scripts/debian-packages.json that are missing; as anyone but root it says how. */
const { spawnSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");
const paths = require("./paths.cjs");
const exitCodes = require("./exit-codes.cjs");
const { reportProgress } = require("./report-progress.cjs");
const { runChild, endLike } = require("./run-child.cjs");

const lockSeconds = 600;
const retryMs = 3000;

/**
 * @param {string[]} purposes "run", "test" or "fresh"; none asks for nothing
 * @returns {Promise<number>} an exit code, 0 when all is there
 */
async function installDebianPackages(purposes) {
  const missing = findMissingPackages(purposes);
  if (missing.length === 0) return 0;
  const install = ["apt-get", "install", "-y", "--no-install-recommends", ...missing.map(({ name }) => name)];
  const byHand = `apt-get update && ${install.join(" ")}`;
  const list = missing.map(({ name, purpose }) => `  ${name}: ${purpose}\n`).join("");

  if (!hasDpkg()) {
    process.stderr.write(
      `Programs are missing; they are in these Debian packages:\n${list}Install their like and try again.\n`,
    );
    return exitCodes.unavailable;
  }
  if (process.getuid() !== 0) {
    process.stderr.write(`Debian packages are missing:\n${list}Run this as root, then try again:\n\n  ${byHand}\n\n`);
    return exitCodes.needsRoot;
  }

  const progress = reportProgress(`Installing Debian packages (${missing.map(({ name }) => name).join(", ")})`);
  // A mirror of another project may be down without harm to ours: the installation tells whether the lists do.
  await runApt(["apt-get", "update"], progress);
  const result = await runApt(install, progress);
  const left = findMissingPackages(purposes);
  if (left.length === 0) {
    progress.end("done");
    return 0;
  }
  progress.end("failed");
  if (result.signal !== null) endLike(result);
  process.stderr.write(`${result.output}\napt could not install them: see above. By hand:\n\n  ${byHand}\n\n`);
  return exitCodes.unavailable;
}

/** `apt-get update` does not wait for its lock as install does, and a fresh machine is often updating itself. */
async function runApt(command, progress) {
  const options = ["-q", "-o", `DPkg::Lock::Timeout=${lockSeconds}`, "-o", "Dpkg::Use-Pty=0"];
  const deadline = Date.now() + lockSeconds * 1000;
  for (;;) {
    const result = await runChild([command[0], ...options, ...command.slice(1)], {
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C.UTF-8" },
      onLine: (line) => progress.detail(line),
    });
    const locked = result.code !== 0 && /Could not get lock|Unable to lock/.test(result.output);
    if (!locked || result.signal !== null || Date.now() > deadline) return result;
    progress.detail("waiting for another apt");
    await new Promise((resolve) => setTimeout(resolve, retryMs));
  }
}

/** With dpkg its word counts (a `busybox` may be there and not be static); without it, whether the program is found. */
function findMissingPackages(purposes) {
  const wanted = JSON.parse(fs.readFileSync(paths.debianPackages, "utf8")).filter(({ neededBy }) =>
    neededBy.some((purpose) => purposes.includes(purpose)),
  );
  if (wanted.length === 0) return [];
  if (!hasDpkg()) return wanted.filter(({ command }) => !isOnPath(command));
  const names = wanted.map(({ name }) => name);
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the placeholders are dpkg-query's.
  const format = "${Package} ${db:Status-Status}\n";
  const query = spawnSync("dpkg-query", ["-W", "-f", format, ...names], { encoding: "utf8" });
  const installed = new Set(query.stdout.split("\n"));
  return wanted.filter(({ name }) => !installed.has(`${name} installed`));
}

function hasDpkg() {
  return isOnPath("dpkg-query");
}

function isOnPath(command) {
  const folders = [...(process.env.PATH || "").split(":"), "/usr/sbin", "/sbin"];
  return folders.some((folder) => fs.existsSync(path.join(folder, command)));
}

module.exports = { installDebianPackages, findMissingPackages };
