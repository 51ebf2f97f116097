import { execFileSync } from "node:child_process";
import { root } from "../root.ts";

/**
 * The seed of the random tests, 0 to 2^31 - 1: of the tree that HEAD names, so that a commit is judged by the same content wherever
 * it is tested, and each by its own. `XENO_TEST_SEED` overrides it; without git, or in an export of the tree, it is 1.
 */
export function chooseSeed(): number {
  const given = process.env.XENO_TEST_SEED;
  if (given !== undefined) {
    if (!/^\d{1,10}$/.test(given))
      throw new Error(`XENO_TEST_SEED is ${given}: give a whole number of up to ten digits`);
    return Number(given);
  }
  try {
    const tree = execFileSync("git", ["rev-parse", "HEAD^{tree}"], {
      cwd: root,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    return Number.parseInt(tree.slice(0, 8), 16) >>> 1;
  } catch {
    return 1;
  }
}
