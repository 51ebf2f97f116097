/** What is told of repeated measurements. Small samples of skewed times: order statistics, no means. */

export interface Distribution {
  readonly count: number;
  readonly min: number;
  readonly median: number;
  readonly p90: number;
  readonly max: number;
}

/** Undefined of nothing. Throws on what is no finite number: a time that was not measured must not look like one. */
export function describeSamples(samples: readonly number[]): Distribution | undefined {
  if (samples.length === 0) return undefined;
  if (!samples.every(Number.isFinite)) throw new RangeError(`not all of ${samples.join(", ")} are numbers`);
  const sorted = [...samples].sort((one, other) => one - other);
  return {
    count: sorted.length,
    min: sorted[0],
    median: quantile(sorted, 0.5),
    p90: quantile(sorted, 0.9),
    max: sorted[sorted.length - 1],
  };
}

/**
 * Between the two nearest samples in proportion: definition 7 of Hyndman and Fan (Sample Quantiles in Statistical Packages,
 * 1996), which R and NumPy use. `sorted` is in rising order and not empty; `share` is 0 to 1.
 */
export function quantile(sorted: readonly number[], share: number): number {
  const position = (sorted.length - 1) * share;
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (position - below);
}
