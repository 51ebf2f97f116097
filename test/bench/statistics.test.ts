import test from "ava";
import { describeSamples, quantile } from "../../bench/statistics.ts";
import fc from "../property.ts";

const rows: [samples: number[], share: number, expected: number][] = [
  [[7], 0.5, 7],
  [[7], 0.9, 7],
  [[1, 2], 0.5, 1.5],
  [[1, 2, 3], 0.5, 2],
  [[0, 10], 0.9, 9],
  [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 0.9, 9],
  [[1, 2, 3, 4], 0, 1],
  [[1, 2, 3, 4], 1, 4],
];
for (const [samples, share, expected] of rows)
  test(`the ${share} quantile of ${samples.join(" ")} is ${expected}`, (t) => {
    t.is(quantile(samples, share), expected);
  });

test("the order of the samples does not matter, and they are left as they were", (t) => {
  const samples = [30, 4, 130, 2, 10];
  t.deepEqual(describeSamples(samples), { count: 5, min: 2, median: 10, p90: 90, max: 130 });
  t.deepEqual(samples, [30, 4, 130, 2, 10]);
});

test("nothing has no distribution", (t) => {
  t.is(describeSamples([]), undefined);
});

test("a time that was not measured is refused", (t) => {
  t.throws(() => describeSamples([1, Number.NaN]), { instanceOf: RangeError });
});

test("min, median, p90 and max never cross, and half of the samples lie at or below the median", (t) => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: 1, maxLength: 50 }), (samples) => {
      const { min, median, p90, max } = describeSamples(samples)!;
      t.true(min <= median && median <= p90 && p90 <= max);
      t.true(samples.filter((sample) => sample <= median).length * 2 >= samples.length);
    }),
  );
});
