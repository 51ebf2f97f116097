/** What workers borrow of the first one's cache (xenostore/pull/borrow-tree.ts), over its control socket. */
import type { FastifyInstance, FastifyReply } from "fastify";
import { type Static, Type } from "typebox";
import { XenoError } from "../../cowfs/errors.ts";
import type { Lender, LentAhead } from "../../xenostore/pull/borrow-tree.ts";
import type { StoredTree } from "../../xenostore/refs/ref.ts";
import { JsonClient } from "../http/json-client.ts";
import { describeError } from "../http/json-server.ts";
import { fileServerFiles } from "./files.ts";
import { AheadRequest, type BroughtChunks, ChunkRequest } from "./protocol.ts";

/** A store that is slow is waited for as long as the first worker does, or as somebody wants it. */
const bringDeadlineMs = 10 * 60_000;
/** At a rate that leaves room for others. */
const aheadDeadlineMs = 7 * 24 * 3600_000;
/** Of the numbers of a boot trace's chunks. */
const maxRequestBytes = 64 * 2 ** 20;

const Parameters = Type.Object({ tree: Type.String({ pattern: "^[0-9a-f]{64}$" }) });
type Parameters = Static<typeof Parameters>;

export function addLendingRoutes(server: FastifyInstance, lending: Lender): void {
  server.post<{ Params: Parameters; Body: ChunkRequest }>(
    "/trees/:tree/chunks",
    { schema: { params: Parameters, body: ChunkRequest } },
    async ({ params: { tree }, body: { layout, chunks } }, reply): Promise<BroughtChunks> => {
      const brought = [...(await lending.bring({ tree, layout }, chunks, abortWith(reply)))];
      return {
        kept: brought.flatMap(([chunk, bytes]) =>
          Buffer.isBuffer(bytes) ? [{ chunk, base64: bytes.toString("base64") }] : [],
        ),
        failed: brought.flatMap(([chunk, error]) =>
          Buffer.isBuffer(error) ? [] : [{ chunk, error: describeError(error) }],
        ),
      };
    },
  );
  server.post<{ Params: Parameters; Body: AheadRequest }>(
    "/trees/:tree/ahead",
    { schema: { params: Parameters, body: AheadRequest }, bodyLimit: maxRequestBytes },
    async ({ params: { tree }, body: { layout, chunks, isPaced } }, reply) => {
      await lending.bringAhead({ tree, layout }, { chunks, isPaced, signal: abortWith(reply) });
      return {};
    },
  );
}

/** The first worker, as the others see it. One that is being started again is waited for. */
export class FirstWorker implements Lender {
  readonly #client: JsonClient;

  constructor(stateDirectory: string) {
    const { socket, log } = fileServerFiles(stateDirectory);
    this.#client = new JsonClient({
      endpoint: { socketPath: socket },
      server: "the file server's first worker",
      hint: `see ${log}`,
    });
  }

  async bring({ tree, layout }: StoredTree, chunks: readonly number[], signal: AbortSignal) {
    const { kept, failed } = await this.#client.request<BroughtChunks>({
      method: "POST",
      path: `/trees/${tree}/chunks`,
      body: { layout, chunks },
      deadlineMs: bringDeadlineMs,
      signal,
    });
    return new Map<number, Buffer | XenoError>([
      ...kept.map(({ chunk, base64 }) => [chunk, Buffer.from(base64, "base64")] as const),
      ...failed.map(({ chunk, error: { code, message, hint } }) => {
        return [chunk, new XenoError(code, message, { hint })] as const;
      }),
    ]);
  }

  async bringAhead({ tree, layout }: StoredTree, { chunks, isPaced, signal }: LentAhead): Promise<void> {
    await this.#client.request({
      method: "POST",
      path: `/trees/${tree}/ahead`,
      body: { layout, chunks, isPaced },
      deadlineMs: aheadDeadlineMs,
      signal,
    });
  }

  async close(): Promise<void> {
    await this.#client.close();
  }
}

/** Aborts when who asked has gone. */
function abortWith(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once("close", () => {
    if (!reply.raw.writableFinished) gone.abort(new XenoError("interrupted", "the worker that asked has gone"));
  });
  return gone.signal;
}
