import type { FastifyInstance } from "fastify";
import type { XenoServer } from "../daemon/xeno-server.ts";
import * as schemas from "./schemas.ts";

export function addTaskRoutes(api: FastifyInstance, server: XenoServer): void {
  const params = schemas.TaskParameters;
  api.get("/v1/tasks", { schema: { summary: "The last tasks" } }, async () => server.tasks.list());
  api.get<{ Params: schemas.TaskParameters; Querystring: schemas.TaskQuery }>(
    "/v1/tasks/:id",
    { schema: { summary: "A task, once it has changed or ended", params, querystring: schemas.TaskQuery } },
    async ({ params, query }) => server.tasks.wait(params.id, query.seen, query.waitMs),
  );
  api.post<{ Params: schemas.TaskParameters }>(
    "/v1/tasks/:id/cancel",
    { schema: { summary: "Call a task off: it ends in some valid state, and says which", params } },
    async ({ params }, reply) => reply.code(202).send(server.tasks.cancel(params.id)),
  );
}
