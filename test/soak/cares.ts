/**
 * `npm run soak -- cares`: each care of `test/cowfs/nfs/cares.ts` is switched off in a copy of the sources, and the test that
 * is named for it must fail; with all of them on, it must pass.
 */
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { cares as all, type Care } from "../cowfs/nfs/cares.ts";
import type { Soak, SoakFailure, SoakRun } from "./soak.ts";

const sources = fileURLToPath(new URL("../..", import.meta.url));
const deadlineMs = 120_000;

export const cares: Soak = {
  about: "each care against what NFS servers fail at is switched off in a copy, and its test must fail",
  minutes: 60,
  async run(run) {
    const copy = await mkdtemp(path.join(tmpdir(), "xeno-cares-"));
    try {
      await copySources(copy);
      return await switchOffEach(copy, run);
    } finally {
      await rm(copy, { recursive: true, force: true });
    }
  },
};

async function copySources(copy: string): Promise<void> {
  await mkdir(path.join(copy, "test"));
  for (const name of ["cowfs", "test/cowfs", "test/random.ts", "package.json"])
    await cp(path.join(sources, name), path.join(copy, name), { recursive: true });
  await symlink(path.join(sources, "node_modules"), path.join(copy, "node_modules"));
}

/** Each once; the seed says with which it begins. */
async function switchOffEach(copy: string, run: SoakRun) {
  const counts = { cares: 0 };
  const failures: SoakFailure[] = [];
  const known = new Set<string>();
  for (let nth = 0; nth < all.length && run.goesOn(); nth++) {
    const seed = (run.seed + nth) % all.length;
    const care = all[seed];
    const { file, test, pitfall } = care;
    const fail = (message: string) => failures.push({ seed, message: `${pitfall}: ${message}` });
    if (!known.has(test.join()) && !(await passes(copy, test, run))) fail(`${test.join(": ")} does not pass as it is`);
    known.add(test.join());
    const at = path.join(copy, file);
    const source = await readFile(at, "utf8");
    await writeFile(at, switchOff(care, source));
    if (await passes(copy, test, run)) fail(`${test.join(": ")} passes without the care`);
    await writeFile(at, source);
    counts.cares++;
    run.progress(() => `${counts.cares} of ${all.length} switched off, ${failures.length} unnoticed`);
  }
  return { counts, failures };
}

function switchOff({ file, care, without }: Care, source: string): string {
  if (source.split(care).length !== 2) throw new Error(`${file} does not hold once: ${care}`);
  return source.replace(care, () => without);
}

/** Whether the tests pass whose titles have the words in them; there must be some. */
async function passes(copy: string, [file, title]: Care["test"], { signal }: SoakRun): Promise<boolean> {
  const { exitCode } = await execa("node_modules/.bin/ava", ["--tap", file, `--match=*${title}*`], {
    cwd: copy,
    reject: false,
    timeout: deadlineMs,
    cancelSignal: signal,
  });
  return exitCode === 0;
}
