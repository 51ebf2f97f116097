/**
 * What is random in the tests. Everything comes from one seed, so that whoever tests a tree of this repository sees what everyone
 * else saw: `npm test` takes it from the tree's name (scripts/tests/choose-seed.ts), ava by itself throws a new one.
 */
export const testSeed = Number(process.env.XENO_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));

/** Random numbers from 0 up to but without `below`, the same for the same seed. */
export type Random = (below: number) => number;

/** mulberry32: small, and good enough for choosing test cases. */
export function createRandom(seed: number): Random {
  let state = seed | 0;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

export function choose<T>(random: Random, from: readonly T[]): T {
  return from[random(from.length)];
}
