/**
 * `npm test`: lint, types and floors, then ava: unit and property tests two files at a time, then the end-to-end tests, which boot
 * guests, one at a time. The Xen lab's two hosts run beside all of them, and take what of the processors is left.
 *
 * Arguments name files or folders to run instead of everything. `XENO_TEST_SEED` chooses the content of the random tests. The last
 * line is `N passed, N failed`.
 */

import { runChecks } from "./checks/run-checks.ts";
import { chooseSeed } from "./tests/choose-seed.ts";
import { type AvaOptions, runAva } from "./tests/run-ava.ts";
import { selectTests } from "./tests/select-tests.ts";

/** The two hosts, on a machine that is slow, and has to make their images first. */
const xenLabMinutes = 55;

const started = performance.now();
const tests = selectTests(process.argv.slice(2));
process.env.XENO_TEST_SEED = String(chooseSeed());
const tally = { passed: 0, failed: 0, skipped: 0 };
let isInterrupted = false;

const besides = run(tests.xenLab, ["--serial", "--timeout", `${xenLabMinutes}m`], {
  niceness: 5,
  quietMs: (xenLabMinutes + 3) * 60_000,
});
for (const { ok } of process.argv.length > 2 ? [] : await runChecks()) tally[ok ? "passed" : "failed"] += 1;
await run(tests.unit, ["--concurrency", "2"]);
await run(tests.endToEnd, ["--concurrency", "1", "--serial"]);
await besides;
if (isInterrupted) {
  console.log("Interrupted.");
  tally.failed += 1;
}

const seconds = Math.round((performance.now() - started) / 1000);
console.log(
  `\n${seconds} s, random tests from seed ${process.env.XENO_TEST_SEED}${tally.skipped > 0 ? `, ${tally.skipped} skipped` : ""}`,
);
console.log(`${tally.passed} passed, ${tally.failed} failed`);
process.exitCode = tally.failed === 0 && tally.passed > 0 ? 0 : 1;

async function run(files: readonly string[], flags: readonly string[], options?: Partial<AvaOptions>): Promise<void> {
  if (files.length === 0 || isInterrupted) return;
  const outcome = await runAva(files, flags, options);
  tally.passed += outcome.passed;
  tally.failed += outcome.failed;
  tally.skipped += outcome.skipped;
  isInterrupted ||= outcome.interrupted;
}
