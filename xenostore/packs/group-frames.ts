import type { Layout } from "./layout.ts";

/** A range request spans at most so much, and skips at most so much to make two into one. */
export const maxRangeBytes = 4 * 2 ** 20;
const maxGapBytes = 32 * 1024;

/** Runs of frames that one range request brings: of one pack, in the order of their offsets. */
export function groupFrames(layout: Layout, frames: Iterable<number>): number[][] {
  const sorted = [...frames].sort((a, b) => {
    const [one, other] = [layout.frame(a), layout.frame(b)];
    return one.pack === other.pack ? one.offset - other.offset : one.pack < other.pack ? -1 : 1;
  });
  const runs: number[][] = [];
  for (const number of sorted) {
    const run = runs.at(-1);
    const frame = layout.frame(number);
    const first = run && layout.frame(run[0]);
    const last = run && layout.frame(run.at(-1)!);
    const joins =
      first?.pack === frame.pack &&
      frame.offset >= last!.offset + last!.length &&
      frame.offset - last!.offset - last!.length <= maxGapBytes &&
      frame.offset + frame.length - first.offset <= maxRangeBytes;
    if (joins) run!.push(number);
    else runs.push([number]);
  }
  return runs;
}
