import type { Time } from "../file-system.ts";

/**
 * The time of changes: strictly increasing within a lineage, whatever the host's clock does, so that a client that
 * compares change times sees every change. `start` is the latest time that the lineage has recorded.
 */
export function createClock(start: Time, now: () => number = readMilliseconds): () => Time {
  let last = start;
  return () => {
    const milliseconds = now();
    let seconds = Math.floor(milliseconds / 1000);
    let nanoseconds = Math.min(999_999_999, Math.floor((milliseconds - seconds * 1000) * 1e6));
    if (seconds < last.seconds || (seconds === last.seconds && nanoseconds <= last.nanoseconds)) {
      seconds = last.seconds;
      nanoseconds = last.nanoseconds + 1;
      if (nanoseconds === 1e9) {
        seconds++;
        nanoseconds = 0;
      }
    }
    last = { seconds, nanoseconds };
    return last;
  };
}

export function isLater(left: Time, right: Time): boolean {
  return left.seconds > right.seconds || (left.seconds === right.seconds && left.nanoseconds > right.nanoseconds);
}

/** Milliseconds since the epoch, in steps of some microseconds. */
function readMilliseconds(): number {
  return performance.timeOrigin + performance.now();
}
