/** Fetching the page that each guest serves, over the network, from ports of 127.0.0.1 that a browser can open too. */
import { setTimeout as delay } from "node:timers/promises";
import { request } from "undici";
import { XenoError } from "../../cowfs/errors.ts";

const everyMs = 150;
const attemptMs = 3_000;
const maxPageBytes = 1024 * 1024;

/** Asks until the answer is 200 with `expected` in it; rejects with `page-missing` when the time is over. */
export async function waitForPage(
  url: string,
  expected: string,
  deadlineMs: number,
  signal: AbortSignal,
): Promise<void> {
  const end = performance.now() + deadlineMs;
  let last = "no answer";
  while (performance.now() < end) {
    signal.throwIfAborted();
    try {
      const attempt = AbortSignal.any([signal, AbortSignal.timeout(attemptMs)]);
      const { statusCode, body } = await request(url, { signal: attempt, reset: true });
      const text = await readBounded(body);
      if (statusCode === 200 && text.includes(expected)) return;
      last = `status ${statusCode}, ${text.length} bytes`;
    } catch (error) {
      signal.throwIfAborted();
      last = (error as Error).message;
    }
    await delay(everyMs, undefined, { signal });
  }
  throw new XenoError("page-missing", `${url} did not give the page in ${deadlineMs / 1000} s: ${last}`, {
    hint: "The guest's console log says how far it came: xeno logs.",
  });
}

async function readBounded(body: AsyncIterable<Buffer>): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of body) {
    bytes += part.length;
    if (bytes > maxPageBytes) break;
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}
