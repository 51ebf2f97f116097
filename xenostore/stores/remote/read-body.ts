/** Takes the body of an answer into one buffer, and no more of it than was announced. */
import { objectTooLarge, PassingStoreError } from "../object-store.ts";
import type { Watchdog } from "./watchdog.ts";

export interface ExpectedBody {
  readonly store: { readonly name: string };
  readonly key: string;
  /** What the answer announced; undefined where it ends when the connection does. */
  readonly length: number | undefined;
  readonly maximumBytes: number;
}

/**
 * The body, whole. One that ends before its announced length is a connection that broke, and may pass. Throws
 * `object-too-large`.
 */
export async function readBody(
  body: AsyncIterable<Uint8Array>,
  { store, key, length, maximumBytes }: ExpectedBody,
  watchdog: Watchdog,
): Promise<Buffer> {
  if ((length ?? 0) > maximumBytes) throw objectTooLarge(key, length!, maximumBytes);
  watchdog.expect(length ?? maximumBytes, true);
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of body) {
    watchdog.touch();
    bytes += part.length;
    if (bytes > (length ?? maximumBytes)) {
      if (length === undefined) throw objectTooLarge(key, bytes, maximumBytes);
      throw new PassingStoreError("store-unavailable", `${store.name} sends more of ${key} than it announced`);
    }
    parts.push(part);
  }
  if (length !== undefined && bytes < length)
    throw new PassingStoreError("store-unavailable", `${store.name} broke off after ${bytes} of ${length} bytes`);
  return Buffer.concat(parts, bytes);
}

/** Of `bytes 3-6/10` (RFC 9110, section 14.4); undefined where it is something else. */
export function parseContentRange(
  header: string | undefined,
): { start: number; length: number; total: number | undefined } | undefined {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(header ?? "");
  if (match === null) return undefined;
  const [start, last] = [Number(match[1]), Number(match[2])];
  return { start, length: last - start + 1, total: match[3] === "*" ? undefined : Number(match[3]) };
}
