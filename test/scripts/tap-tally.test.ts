import test from "ava";
import { TapTally } from "../../scripts/tests/tap-tally.ts";

test("counts passes, failures and skips, and shows what explains a failure", (t) => {
  const tap = [
    "TAP version 13",
    "ok 1 - trees › opens",
    "not ok 2 - trees › seals",
    "  ---",
    "    name: AssertionError",
    "  ...",
    "ok 3 - trees › later # SKIP",
    "not ok 4 - trees › some day # TODO",
    "ok 5 - trees › names not ok 7 - well",
    "---tty-stream-chunk-separator",
    "1..5",
    "# tests 4",
    "# pass 2",
  ];
  const tally = new TapTally();
  const shown = tap.map((line) => tally.take(line)).filter((line) => line !== undefined);
  t.deepEqual([tally.passed, tally.failed, tally.skipped], [2, 1, 2]);
  t.deepEqual(shown, [
    "ok trees › opens",
    "NOT OK trees › seals",
    "  ---",
    "    name: AssertionError",
    "  ...",
    "-- trees › later # SKIP",
    "-- trees › some day # TODO",
    "ok trees › names not ok 7 - well",
  ]);
});
