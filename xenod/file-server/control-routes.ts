import type { FastifyInstance } from "fastify";
import { type Static, Type } from "typebox";
import type { ExportServing } from "./export-serving.ts";
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
  {
    exports,
    precaching,
    status,
  }: { exports: ExportServing; precaching: Precaching; status: () => FileServerStatus | Promise<FileServerStatus> },
): void {
  addPrecacheRoutes(server, precaching);
  const schema = { params: Parameters };
  server.get("/status", async () => status());
  server.get<{ Params: Parameters }>("/exports/:id", { schema }, async ({ params }) => exports.getExport(params.id));
  server.get<{ Params: Parameters }>("/exports/:id/place", { schema }, async ({ params }) =>
    exports.placeExport(params.id),
  );
  server.put<{ Params: Parameters; Body: ExportSpecification }>(
    "/exports/:id",
    { schema: { ...schema, body: ExportSpecification } },
    async ({ params, body }) => exports.putExport(params.id, body),
  );
  server.put<{ Params: Parameters; Body: ExportPreparation }>(
    "/exports/:id/preparation",
    { schema: { ...schema, body: ExportPreparation } },
    async ({ params, body }) => {
      await exports.prepareExport(params.id, body);
      return {};
    },
  );
  server.delete<{ Params: Parameters }>("/exports/:id", { schema }, async ({ params }) => {
    await exports.deleteExport(params.id);
    return {};
  });
  addSnapshotRoutes(server, exports);
  server.post<{ Body: FollowRequest }>("/follow", { schema: { body: FollowRequest } }, async ({ body }) =>
    exports.follow(body),
  );
  server.post<{ Params: Parameters }>("/exports/:id/hold", { schema }, async ({ params }) =>
    exports.holdExport(params.id),
  );
  server.post<{ Params: Parameters }>("/exports/:id/serve", { schema }, async ({ params }) => {
    await exports.serveExport(params.id);
    return {};
  });
  server.post<{ Params: Parameters }>("/exports/:id/epoch", { schema }, async ({ params }) =>
    exports.startEpoch(params.id),
  );
  server.post<{ Params: Parameters; Body: FileToLay[] }>(
    "/exports/:id/files",
    { schema: { ...schema, body: Type.Array(FileToLay, { maxItems: 1000 }) }, bodyLimit: maxFilesBytes },
    async ({ params, body }) => exports.layFiles(params.id, body),
  );
  server.post<{ Params: Parameters; Body: FileExchange }>(
    "/exports/:id/exchange",
    { schema: { ...schema, body: FileExchange }, bodyLimit: maxFilesBytes },
    async ({ params, body }) => exports.exchangeFiles(params.id, body),
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
