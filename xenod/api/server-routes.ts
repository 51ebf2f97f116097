import type { FastifyInstance } from "fastify";
import type { PublicKeyText } from "../../xenostore/keys/key-ring.ts";
import type { ServerEvent } from "../daemon/event-feed.ts";
import type { XenoServer } from "../daemon/xeno-server.ts";
import { addPrecacheRoutes } from "../file-server/control-routes.ts";
import { streamEvents } from "./event-stream.ts";
import type { Metrics } from "./metrics.ts";
import * as schemas from "./schemas.ts";

export interface ServerRoutesOptions {
  readonly metrics: Metrics;
  readonly publicKey: PublicKeyText;
  url(): string | undefined;
  onShutDown(): void;
}

export function addServerRoutes(api: FastifyInstance, server: XenoServer, options: ServerRoutesOptions): void {
  const { metrics, publicKey, url, onShutDown } = options;
  api.get("/v1/status", { schema: { summary: "How this XenoServer is" } }, async () => ({
    ...(await server.status()),
    publicKey,
    url: url(),
  }));
  api.put<{ Body: schemas.DrainingBody }>(
    "/v1/draining",
    { schema: { summary: "Take no new domains, or take them again", body: schemas.DrainingBody } },
    async ({ body }) => {
      await server.setDraining(body.isDraining);
      return {};
    },
  );
  api.get<{ Querystring: schemas.TreeQuery }>(
    "/v1/trees",
    {
      schema: { summary: "The tree that a URL of a template or an overlay means now", querystring: schemas.TreeQuery },
    },
    async ({ query }) => server.resolve(query.url),
  );
  api.get(
    "/v1/traffic",
    {
      schema: {
        summary:
          "What it asked its XenoStore for, since Xenod and the file server were last started: counters begin anew then",
      },
    },
    async () => server.traffic(),
  );
  api.get("/metrics", { schema: { summary: "Measurements, in Prometheus' text format" } }, async (_request, reply) =>
    reply.type(metrics.contentType).send(await metrics.read()),
  );
  api.get(
    "/v1/events",
    {
      schema: {
        summary: "Server-sent events: all domains and tasks, then each change",
        produces: ["text/event-stream"],
      },
    },
    (_request, reply) => {
      const present: ServerEvent[] = [
        ...server.domains().map((domain) => ({ kind: "domain", domain }) as const),
        ...server.tasks.list().map((task) => ({ kind: "task", task }) as const),
      ];
      reply.hijack();
      streamEvents(reply.raw, server.events, present);
    },
  );
  addPrecacheRoutes(api, server.precaching, "/v1");
  api.post<{ Body: schemas.ShutdownBody }>(
    "/v1/shutdown",
    {
      schema: {
        summary: "End all guests, the file server and Xenod; answers when the guests have ended",
        body: schemas.ShutdownBody,
      },
    },
    async ({ body }, reply) => {
      const { graceMs = schemas.defaultGraceMs, remove = false, halt = false } = body;
      await server.shutdown({ graceMs, remove, halt });
      reply.raw.on("close", onShutDown);
      return {};
    },
  );
}
