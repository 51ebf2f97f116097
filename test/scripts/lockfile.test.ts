import { readFileSync } from "node:fs";
import test from "ava";
import packages from "../../scripts/debian-packages.json" with { type: "json" };

interface LockedPackage {
  version?: string;
  optionalDependencies?: Record<string, string>;
}

const lockfile = new URL("../../package-lock.json", import.meta.url);

test("the lockfile names the packages of every platform, or npm ci refuses it", (t) => {
  const locked: Record<string, LockedPackage> = JSON.parse(readFileSync(lockfile, "utf8")).packages;
  const names = new Set(Object.keys(locked).map((path) => path.replace(/^.*node_modules\//, "")));
  for (const [path, { version, optionalDependencies = {} }] of Object.entries(locked)) {
    t.truthy(version, path);
    for (const name of Object.keys(optionalDependencies)) t.true(names.has(name), name);
  }
});

test("each Debian package is listed once, with what it is for", (t) => {
  t.is(new Set(packages.map(({ name }) => name)).size, packages.length);
  for (const { name, command, purpose, neededBy } of packages)
    t.true([name, command, purpose].every(Boolean) && neededBy.length > 0);
});
