import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { findAptProxy, listDebianSources } from "../../templates/import/debian/list-sources.ts";
import { openScratch } from "../../templates/import/debian/scratch.ts";

/** What a user has before the first command: git to clone with, an npm, and trust in HTTPS. Nothing else. */
const packages = ["git", "npm", "ca-certificates"];
const codename = "bookworm";
/** Packages of a fresh machine are not older than this. */
const periodDays = 7;

/**
 * The tar of a minimal Debian 12 with `packages`, made by mmdebstrap from the mirrors of this host. Kept in `directory`
 * under a name that says all its inputs; others there are deleted.
 */
export async function makeBase(directory: string, signal: AbortSignal): Promise<string> {
  const proxy = await findAptProxy();
  const flags = ["--mode=root", "--variant=minbase", `--include=${packages.join(",")}`];
  if (proxy !== "") flags.push(`--aptopt=Acquire::http::Proxy "${proxy}"`);
  const sources = await listDebianSources(codename);
  const period = Math.floor(Date.now() / 86_400_000 / periodDays);
  const inputs = createHash("sha256")
    .update(JSON.stringify([flags, sources, period]))
    .digest("hex")
    .slice(0, 16);
  const base = join(directory, `${inputs}.tar`);
  if (existsSync(base)) return base;

  console.log(
    `making a minimal Debian (${codename}) with ${packages.join(", ")}: a minute or two, kept for ${periodDays} days`,
  );
  await mkdir(directory, { recursive: true });
  for (const old of await readdir(directory)) await rm(join(directory, old));
  await using scratch = await openScratch("base");
  const command = ["--mount", "--propagation=private", "mmdebstrap", ...flags, codename, `${base}.new.tar`, ...sources];
  await execa("unshare", command, {
    env: { TMPDIR: scratch.directory, LC_ALL: "C.UTF-8" },
    stdio: ["ignore", "ignore", "pipe"],
    cancelSignal: signal,
    // In a group of its own: it ends its whole group when it is ended.
    detached: true,
  });
  await rename(`${base}.new.tar`, base);
  return base;
}
