/** A TCP proxy on loopback in front of a real HTTP service, that spoils what the test tells it to. */
import { once } from "node:events";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { ExecutionContext } from "ava";

/** What happens to one request: `undefined` passes it on. */
export type Fault =
  | {
      readonly kind: "status";
      readonly status: number;
      readonly headers?: Record<string, string>;
      readonly body?: string;
    }
  /** The connection is reset, before the answer or in the middle of its body. */
  | { readonly kind: "reset"; readonly afterBytes?: number }
  /** The service does what it was asked, and the connection is reset before it can say so. */
  | { readonly kind: "lose" }
  /** Nothing comes any more, before the answer or in the middle of its body. */
  | { readonly kind: "stall"; readonly afterBytes?: number }
  /** The body ends early, with a length that fits: truncated on the store's disk. */
  | { readonly kind: "truncate" }
  | { readonly kind: "flip" };

export interface FaultyProxy {
  readonly endpoint: string;
  /** Decides about each request; `count` is how many came before it. */
  decide: (request: IncomingMessage, count: number) => Fault | undefined;
  /** Requests that came. */
  count: number;
}

export async function startFaultyProxy(t: Pick<ExecutionContext, "teardown">, target: string): Promise<FaultyProxy> {
  const { hostname, port } = new URL(target);
  const proxy: FaultyProxy = { endpoint: "", decide: () => undefined, count: 0 };
  const server = createServer(async (incoming, outgoing) => {
    const fault = proxy.decide(incoming, proxy.count++);
    const parts: Buffer[] = [];
    for await (const part of incoming) parts.push(part);
    if (fault?.kind === "status") {
      outgoing.writeHead(fault.status, fault.headers).end(fault.body ?? "");
      return;
    }
    if (isAtOnce(fault)) return void spoil(outgoing, fault);
    const { method, url: path, headers } = incoming;
    const forwarded = request(
      { hostname, port, method, path, headers },
      (answer) => void relay(answer, outgoing, fault),
    );
    forwarded.on("error", () => outgoing.destroy());
    forwarded.end(Buffer.concat(parts));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return Object.assign(proxy, { endpoint: `http://127.0.0.1:${(server.address() as { port: number }).port}` });
}

function isAtOnce(fault: Fault | undefined): fault is Fault & { kind: "reset" | "stall" } {
  return (fault?.kind === "reset" || fault?.kind === "stall") && fault.afterBytes === undefined;
}

function spoil(outgoing: ServerResponse, { kind }: Fault): void {
  if (kind === "reset") outgoing.socket?.resetAndDestroy();
}

async function relay(answer: IncomingMessage, outgoing: ServerResponse, fault: Fault | undefined): Promise<void> {
  const parts: Buffer[] = [];
  for await (const part of answer) parts.push(part);
  let body = Buffer.concat(parts);
  const { "transfer-encoding": _, ...headers } = answer.headers;
  if (fault?.kind === "truncate") {
    body = body.subarray(0, body.length >> 1);
    headers["content-length"] = String(body.length);
    if (headers["content-range"] !== undefined) {
      const [, start, total] = /^bytes (\d+)-\d+\/(\d+)$/.exec(headers["content-range"])!;
      headers["content-range"] = `bytes ${start}-${Number(start) + body.length - 1}/${total}`;
    }
  }
  if (fault?.kind === "flip" && body.length > 0) body[body.length >> 1] ^= 0x10;
  if (fault?.kind === "lose") return void outgoing.socket?.resetAndDestroy();
  outgoing.writeHead(answer.statusCode!, headers);
  if (fault?.kind !== "reset" && fault?.kind !== "stall") return void outgoing.end(body);
  outgoing.write(body.subarray(0, fault.afterBytes), () => spoil(outgoing, fault));
}
