/**
 * Cuts a byte stream into content-defined chunks (FastCDC, Xia et al., USENIX ATC'16), so that an edit moves few cuts.
 *
 * Invariants: (C1) joining the chunks gives the input; (C2) every chunk but the last is minBytes..maxBytes long, and an
 * input of up to wholeBytes is one chunk; (C3) an insert changes O(1) chunks.
 *
 * The cuts decide the ids of trees: the constants and the gear table below never change within a format version.
 */
import { blake3 } from "@napi-rs/blake-hash";

export const minBytes = 16 * 1024;
export const averageBytes = 64 * 1024;
export const maxBytes = 256 * 1024;
/** Smaller files are one chunk: most files of a distribution, and there is little to share within them. */
export const wholeBytes = 64 * 1024;

const windowBytes = 4 * maxBytes;
/** Of streams that are at their end, for the next one: a system has 20,000 files, and most of them are small. */
const windows: Buffer[] = [];
const maxSpareWindows = 4;

/**
 * Chunks of `source` in order; an empty source has none. Each is valid until the next is asked for: a view of a window
 * that is written over. `isPart`: it follows a cut within a longer content, so it is not whole, however short it is.
 */
export async function* cutChunks(source: AsyncIterable<Buffer>, isPart = false): AsyncGenerator<Buffer, void> {
  const window = windows.pop() ?? Buffer.allocUnsafeSlow(windowBytes);
  try {
    yield* cutInWindow(source, window, isPart);
  } finally {
    if (windows.length < maxSpareWindows) windows.push(window);
  }
}

async function* cutInWindow(
  source: AsyncIterable<Buffer>,
  window: Buffer,
  isPart: boolean,
): AsyncGenerator<Buffer, void> {
  let end = 0;
  let isWhole = !isPart;
  for await (const part of source) {
    for (let taken = 0; taken < part.length; ) {
      const copied = part.copy(window, end, taken);
      taken += copied;
      end += copied;
      if (end < window.length) continue;
      isWhole = false;
      let start = 0;
      while (end - start >= maxBytes) {
        const cut = findCut(window, start, end);
        yield window.subarray(start, cut);
        start = cut;
      }
      window.copyWithin(0, start, end);
      end -= start;
    }
  }
  if (isWhole) {
    yield* cutBuffer(window.subarray(0, end));
  } else {
    for (let start = 0, cut: number; start < end; start = cut) {
      cut = findCut(window, start, end);
      yield window.subarray(start, cut);
    }
  }
}

/** The same chunks for content that is in memory, as views of it. */
export function* cutBuffer(content: Buffer): Generator<Buffer, void> {
  if (content.length > 0 && content.length <= wholeBytes) {
    yield content;
    return;
  }
  for (let start = 0, cut: number; start < content.length; start = cut) {
    cut = findCut(content, start, content.length);
    yield content.subarray(start, cut);
  }
}

/** One random word per byte value. */
const gear = Int32Array.from({ length: 256 }, (_, byte) => blake3(`XenoServer gear ${byte}`).readInt32LE(0));

/** Which bits must be zero at a cut: the high ones, which all of the last 32 bytes decide. */
const early = -1 << 14;
const late = -1 << 18;

/**
 * Where the chunk that starts at `start` ends. Before the average size a cut needs 18 zero bits, after it 14: this
 * normalizes the sizes (section 3.3 of the paper).
 */
function findCut(bytes: Buffer, start: number, end: number): number {
  if (end - start <= minBytes) return end;
  const normal = Math.min(start + averageBytes, end);
  const last = Math.min(start + maxBytes, end);
  rolled = 0;
  const cut = roll(bytes, start + minBytes, normal, early);
  if (cut !== -1) return cut;
  const afterNormal = roll(bytes, normal, last, late);
  return afterNormal === -1 ? last : afterNormal;
}

/** The hash, where `roll` stopped. */
let rolled = 0;

/** Looks for a cut from `at` to `end`; -1 where there is none. Two bytes a turn: half the time of one, 1 GB/s. */
function roll(bytes: Buffer, at: number, end: number, zeros: number): number {
  let hash = rolled;
  const pairs = end - ((end - at) & 1);
  while (at < pairs) {
    hash = ((hash << 1) + gear[bytes[at++]]) | 0;
    if ((hash & zeros) === 0) return at;
    hash = ((hash << 1) + gear[bytes[at++]]) | 0;
    if ((hash & zeros) === 0) return at;
  }
  if (at < end) {
    hash = ((hash << 1) + gear[bytes[at++]]) | 0;
    if ((hash & zeros) === 0) return at;
  }
  rolled = hash;
  return -1;
}
