/**
 * `npm test`: lint, types and floors, then ava twice: unit and property tests two files at a time, then the end-to-end
 * tests, which boot guests and need the machine for themselves, one at a time.
 *
 * Arguments name files or folders to run instead of everything. `XENO_TEST_SEED` chooses the content of the random tests. The last
 * line is `N passed, N failed`.
 */

import { runChecks } from "./checks/run-checks.ts";
import { chooseSeed } from "./tests/choose-seed.ts";
import { runAva } from "./tests/run-ava.ts";
import { selectTests } from "./tests/select-tests.ts";

const started = performance.now();
const tests = selectTests(process.argv.slice(2));
process.env.XENO_TEST_SEED = String(chooseSeed());
const tally = { passed: 0, failed: 0, skipped: 0 };

for (const { ok } of process.argv.length > 2 ? [] : await runChecks()) tally[ok ? "passed" : "failed"] += 1;

for (const suite of [
  { files: tests.unit, flags: ["--concurrency", "2"] },
  { files: tests.endToEnd, flags: ["--concurrency", "1", "--serial"] },
]) {
  if (suite.files.length === 0) continue;
  const outcome = await runAva(suite.files, suite.flags);
  tally.passed += outcome.passed;
  tally.failed += outcome.failed;
  tally.skipped += outcome.skipped;
  if (outcome.interrupted) {
    console.log("Interrupted.");
    tally.failed += 1;
    break;
  }
}

const seconds = Math.round((performance.now() - started) / 1000);
console.log(
  `\n${seconds} s, random tests from seed ${process.env.XENO_TEST_SEED}${tally.skipped > 0 ? `, ${tally.skipped} skipped` : ""}`,
);
console.log(`${tally.passed} passed, ${tally.failed} failed`);
process.exitCode = tally.failed === 0 && tally.passed > 0 ? 0 : 1;
