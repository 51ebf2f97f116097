/**
 * Network coordinates: points whose distance predicts a round trip, kept up by each host from its own measurements (Vivaldi,
 * Dabek et al., SIGCOMM 2004, with heights, sections 3 and 5.4). Two dimensions for the core of the network, a height for
 * the way from the host to it. Milliseconds throughout.
 */
export interface Coordinates {
  readonly x: number;
  readonly y: number;
  /** At least `minHeight`. */
  readonly height: number;
  /** How far off predictions are, relative; 1: nothing is known yet. */
  readonly error: number;
}

/** How much one measurement moves a host, and its error (Vivaldi's cc and ce). */
const coordinateGain = 0.25;
const errorGain = 0.25;
const minHeight = 0.1;
const minRoundTripMs = 0.01;
/** Of any coordinate: once round the world is 300 ms, and liars claim more. */
const most = 10_000;

export const unknownCoordinates: Coordinates = { x: 0, y: 0, height: minHeight, error: 1 };

/** The round trip that two hosts' coordinates predict, in ms. */
export function predictRoundTrip(one: Coordinates, other: Coordinates): number {
  return Math.hypot(one.x - other.x, one.y - other.y) + one.height + other.height;
}

/** Where a host is after it measured a round trip to another one. `random` (0 to 1) parts hosts that are at one point. */
export function moveBy(
  own: Coordinates,
  other: Coordinates,
  roundTripMs: number,
  random: () => number = Math.random,
): Coordinates {
  const measured = Math.max(roundTripMs, minRoundTripMs);
  const difference = predictRoundTrip(own, other) - measured;
  const weight = own.error + other.error === 0 ? 0.5 : own.error / (own.error + other.error);
  const sample = Math.abs(difference) / measured;
  const error = Math.min(1, sample * errorGain * weight + own.error * (1 - errorGain * weight));
  const force = -difference * coordinateGain * weight;
  const { x, y, height } = pointAwayFrom(own, other, random);
  return {
    x: bound(own.x + x * force, -most),
    y: bound(own.y + y * force, -most),
    height: bound(own.height + height * force, minHeight),
    error,
  };
}

/** The unit vector from the other host to this one; heights add (section 5.4). */
function pointAwayFrom(own: Coordinates, other: Coordinates, random: () => number) {
  let x = own.x - other.x;
  let y = own.y - other.y;
  const height = own.height + other.height;
  if (x === 0 && y === 0) {
    const angle = random() * 2 * Math.PI;
    x = Math.cos(angle) * minRoundTripMs;
    y = Math.sin(angle) * minRoundTripMs;
  }
  const length = Math.hypot(x, y) + height;
  return { x: x / length, y: y / length, height: height / length };
}

function bound(value: number, least: number): number {
  return Math.min(most, Math.max(least, value));
}
