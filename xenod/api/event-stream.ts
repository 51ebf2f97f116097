/**
 * Server-sent events (HTML Living Standard, section 9.2): first everything as it is, then each change. So whoever connects again,
 * after a break, has missed nothing that still matters.
 */
import type { ServerResponse } from "node:http";
import type { EventFeed, ServerEvent } from "../daemon/event-feed.ts";

/** Who reads slower than this is cut off, and connects again. */
const maxBufferedBytes = 4 * 1024 * 1024;
const heartbeatMs = 15_000;

/** Ends when the client goes, or with the response. */
export function streamEvents(response: ServerResponse, feed: EventFeed, present: readonly ServerEvent[]): void {
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  const write = (text: string) => {
    if (response.writableLength > maxBufferedBytes) response.destroy();
    else response.write(text);
  };
  const send = (event: ServerEvent) => write(`event: ${event.kind}\ndata: ${JSON.stringify(event)}\n\n`);
  // The answer's head leaves with its first bytes, and there may be nothing to tell for long.
  write(": events\n\n");
  for (const event of present) send(event);
  const stop = feed.listen(send);
  const heartbeat = setInterval(() => write(": alive\n\n"), heartbeatMs);
  response.on("close", () => {
    stop();
    clearInterval(heartbeat);
  });
}

/** The events of a stream's text, as it comes. Comments and what else the format allows are passed over. */
export async function* parseEvents(text: AsyncIterable<Uint8Array>): AsyncGenerator<ServerEvent> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const piece of text) {
    rest += decoder.decode(piece, { stream: true });
    if (rest.length > maxBufferedBytes) throw new Error("an event is too long");
    for (let end = rest.indexOf("\n\n"); end >= 0; end = rest.indexOf("\n\n")) {
      const data = rest
        .slice(0, end)
        .split("\n")
        .filter((line) => line.startsWith("data: "))
        .map((line) => line.slice("data: ".length));
      rest = rest.slice(end + 2);
      if (data.length > 0) yield JSON.parse(data.join("\n"));
    }
  }
}
