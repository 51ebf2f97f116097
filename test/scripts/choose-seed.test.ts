import test from "ava";
import { chooseSeed } from "../../scripts/tests/choose-seed.ts";

// The environment is the process's: one test after another.
test.serial("the random tests of a tree start from the same seed each time", (t) => {
  delete process.env.XENO_TEST_SEED;
  const seed = chooseSeed();
  t.true(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 31);
  t.is(chooseSeed(), seed);
});

test.serial("another seed is taken when it is given, and refused when it is none", (t) => {
  process.env.XENO_TEST_SEED = "2147483647";
  t.is(chooseSeed(), 2147483647);
  for (const given of ["", "-1", "1.5", "12345678901", "x"]) {
    process.env.XENO_TEST_SEED = given;
    t.throws(chooseSeed, { message: /^XENO_TEST_SEED is / });
  }
});
