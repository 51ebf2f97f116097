import test from "ava";
import { type Coordinates, moveBy, predictRoundTrip, unknownCoordinates } from "../../../control/search/coordinates.ts";
import fc from "../../property.ts";

/** A generator of the same numbers each time (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

test("hosts that measure each other come to predict the round trips that they never measured", (t) => {
  const random = seeded(7);
  const hosts = Array.from({ length: 40 }, () => ({ x: random() * 100, y: random() * 100, access: 1 + random() * 10 }));
  const roundTrip = (a: number, b: number) =>
    Math.hypot(hosts[a]!.x - hosts[b]!.x, hosts[a]!.y - hosts[b]!.y) + hosts[a]!.access + hosts[b]!.access;
  const own: Coordinates[] = hosts.map(() => unknownCoordinates);
  // Each knows eight neighbours only.
  for (let round = 0; round < 400; round++)
    for (let a = 0; a < own.length; a++) {
      const b = (a + 1 + Math.floor(random() * 8) * 5) % own.length;
      const measured = roundTrip(a, b) * (0.95 + random() * 0.1);
      own[a] = moveBy(own[a]!, own[b]!, measured, random);
    }
  const errors: number[] = [];
  for (let a = 0; a < own.length; a++)
    for (let b = 0; b < a; b++)
      errors.push(Math.abs(predictRoundTrip(own[a]!, own[b]!) - roundTrip(a, b)) / roundTrip(a, b));
  errors.sort((a, b) => a - b);
  t.true(errors[Math.floor(errors.length / 2)]! < 0.15, `median ${errors[Math.floor(errors.length / 2)]}`);
  t.true(own.every(({ error }) => error < 0.5));
});

test("whatever a host is told, its coordinates stay numbers within bounds", (t) => {
  const any = fc.double({ noNaN: true, min: -1e12, max: 1e12 });
  const coordinates = fc.record({
    x: any,
    y: any,
    height: fc.double({ noNaN: true, min: 0, max: 1e12 }),
    error: fc.double({ noNaN: true, min: 0, max: 1e9 }),
  });
  fc.assert(
    fc.property(
      fc.array(fc.tuple(coordinates, fc.double({ noNaN: true, min: 0, max: 1e9 })), { maxLength: 30 }),
      (told) => {
        let own = unknownCoordinates;
        for (const [other, roundTripMs] of told) own = moveBy(own, other, roundTripMs, () => 0.3);
        for (const value of [own.x, own.y, own.height]) t.true(Number.isFinite(value) && Math.abs(value) <= 10_000);
        t.true(own.height > 0 && own.error >= 0 && own.error <= 1);
      },
    ),
  );
});
