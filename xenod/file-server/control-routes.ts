import type { FastifyInstance } from "fastify";
import { type Static, Type } from "typebox";
import type { ExportTable } from "./export-table.ts";
import type { Precaching } from "./precaching.ts";
import {
  ExportPreparation,
  ExportSpecification,
  exportIdPattern,
  FileExchange,
  type FileServerStatus,
  FileToLay,
  FollowRequest,
  PrecacheRequest,
  type PrecacheStatus,
  requestIdPattern,
} from "./protocol.ts";
import { addSnapshotRoutes } from "./snapshot-routes.ts";

const Parameters = Type.Object({ id: Type.String({ pattern: exportIdPattern }) });
type Parameters = Static<typeof Parameters>;

export function addControlRoutes(
  server: FastifyInstance,
  { table, precaching, status }: { table: ExportTable; precaching: Precaching; status: () => FileServerStatus },
): void {
  addPrecacheRoutes(server, precaching);
  const schema = { params: Parameters };
  server.get("/status", async () => status());
  server.get<{ Params: Parameters }>("/exports/:id", { schema }, async ({ params }) => table.status(params.id));
  server.put<{ Params: Parameters; Body: ExportSpecification }>(
    "/exports/:id",
    { schema: { ...schema, body: ExportSpecification } },
    async ({ params, body }) => table.put(params.id, body),
  );
  server.put<{ Params: Parameters; Body: ExportPreparation }>(
    "/exports/:id/preparation",
    { schema: { ...schema, body: ExportPreparation } },
    async ({ params, body }) => {
      await table.prepare(params.id, body);
      return {};
    },
  );
  server.delete<{ Params: Parameters }>("/exports/:id", { schema }, async ({ params }) => {
    await table.delete(params.id);
    return {};
  });
  addSnapshotRoutes(server, table);
  server.post<{ Body: FollowRequest }>("/follow", { schema: { body: FollowRequest } }, async ({ body }) =>
    table.follow(body),
  );
  server.post<{ Params: Parameters }>("/exports/:id/hold", { schema }, async ({ params }) => table.hold(params.id));
  server.post<{ Params: Parameters }>("/exports/:id/serve", { schema }, async ({ params }) => {
    await table.serve(params.id);
    return {};
  });
  server.post<{ Params: Parameters }>("/exports/:id/epoch", { schema }, async ({ params }) =>
    table.startEpoch(params.id),
  );
  server.post<{ Params: Parameters; Body: FileToLay[] }>(
    "/exports/:id/files",
    { schema: { ...schema, body: Type.Array(FileToLay, { maxItems: 1000 }) }, bodyLimit: maxFilesBytes },
    async ({ params, body }) => table.layFiles(params.id, body),
  );
  server.post<{ Params: Parameters; Body: FileExchange }>(
    "/exports/:id/exchange",
    { schema: { ...schema, body: FileExchange }, bodyLimit: maxFilesBytes },
    async ({ params, body }) => table.exchangeFiles(params.id, body),
  );
}

/** What a file server does by itself, and Xenod for its clients. */
export function addPrecacheRoutes(
  server: FastifyInstance,
  precaching: {
    ask(id: string, request: PrecacheRequest): PrecacheStatus | Promise<PrecacheStatus>;
    cancel(id: string): Promise<void>;
  },
  prefix = "",
): void {
  const params = Type.Object({ id: Type.String({ pattern: requestIdPattern }) });
  server.put<{ Params: Parameters; Body: PrecacheRequest }>(
    `${prefix}/precache/:id`,
    { schema: { params, body: PrecacheRequest, summary: "Begin to precache, or say how far it is" } },
    async ({ params, body }) => precaching.ask(params.id, body),
  );
  server.delete<{ Params: Parameters }>(
    `${prefix}/precache/:id`,
    { schema: { params, summary: "Stop precaching; what is here stays" } },
    async ({ params }) => {
      await precaching.cancel(params.id);
      return {};
    },
  );
}

/** In base64, of a deployment's. */
const maxFilesBytes = 2 * 1024 * 1024;
