/**
 * Xenod's API on a unix socket that only root can open: whoever can connect may do everything.
 *
 *     GET    /v1/status
 *     GET    /v1/traffic
 *     POST   /v1/deployments             202 {task, domain, isRepeated}
 *     GET    /v1/tasks/ID?seen=N&waitMs=MS
 *     GET    /v1/domains
 *     GET    /v1/domains/NAME
 *     GET    /v1/domains/NAME/log        the end of the console, as text
 *     POST   /v1/domains/NAME/start      202 {task, domain}
 *     POST   /v1/domains/NAME/stop       202 {task, domain}
 *     DELETE /v1/domains/NAME            202 {task, domain}
 *     POST   /v1/shutdown                when all guests have ended; Xenod ends then
 */
import { chmod, rm } from "node:fs/promises";
import type { FastifyInstance } from "fastify";
import { Deployment } from "../daemon/deployment.ts";
import type { XenoServer } from "../daemon/xeno-server.ts";
import { createJsonServer } from "../http/json-server.ts";
import * as schemas from "./schemas.ts";

/** Settles once it listens. `onShutDown` is called after the answer to a shutdown has left. */
export async function serveApi(
  server: XenoServer,
  socketPath: string,
  onShutDown: () => void,
): Promise<FastifyInstance> {
  const api = createJsonServer((error) => server.options.log.error({ err: error }, "a request's defect"));
  addServerRoutes(api, server, onShutDown);
  addDomainRoutes(api, server);
  // The XenoServer's lock is ours, so the socket of a killed Xenod is nobody's.
  await rm(socketPath, { force: true });
  // Until its mode is set, the state directory's own keeps others out.
  await api.listen({ path: socketPath });
  await chmod(socketPath, 0o600);
  return api;
}

function addServerRoutes(api: FastifyInstance, server: XenoServer, onShutDown: () => void): void {
  api.get("/v1/status", async () => server.status());
  api.get("/v1/traffic", async () => server.traffic());
  const deployments = { schema: { body: Deployment }, bodyLimit: maxDeploymentBytes };
  api.post<{ Body: Deployment }>("/v1/deployments", deployments, async ({ body }, reply) => {
    return reply.code(202).send(await server.deploy(body));
  });
  api.get<{ Params: schemas.TaskParameters; Querystring: schemas.TaskQuery }>(
    "/v1/tasks/:id",
    { schema: { params: schemas.TaskParameters, querystring: schemas.TaskQuery } },
    async ({ params, query }) => server.tasks.wait(params.id, query.seen, query.waitMs),
  );
  api.post<{ Body: schemas.ShutdownBody }>(
    "/v1/shutdown",
    { schema: { body: schemas.ShutdownBody } },
    async ({ body }, reply) => {
      const { graceMs = schemas.defaultGraceMs, remove = false } = body;
      await server.shutdown({ graceMs, remove });
      reply.raw.on("close", onShutDown);
      return {};
    },
  );
}

/** Its files are in it. */
const maxDeploymentBytes = 2 * 1024 * 1024;

function addDomainRoutes(api: FastifyInstance, server: XenoServer): void {
  const params = schemas.DomainParameters;
  api.get("/v1/domains", async () => server.domains());
  api.get<{ Params: schemas.DomainParameters }>("/v1/domains/:name", { schema: { params } }, async ({ params }) =>
    server.domain(params.name),
  );
  api.get<{ Params: schemas.DomainParameters; Querystring: schemas.LogQuery }>(
    "/v1/domains/:name/log",
    { schema: { params, querystring: schemas.LogQuery } },
    async ({ params, query }, reply) => {
      const text = await server.readConsoleLog(params.name, query.bytes);
      return reply.type("text/plain; charset=utf-8").send(text);
    },
  );
  api.post<{ Params: schemas.DomainParameters }>(
    "/v1/domains/:name/start",
    { schema: { params } },
    async ({ params }, reply) => {
      const task = await server.start(params.name);
      return reply.code(202).send({ task: task.id, domain: params.name });
    },
  );
  api.post<{ Params: schemas.DomainParameters; Body: schemas.StopBody }>(
    "/v1/domains/:name/stop",
    { schema: { params, body: schemas.StopBody } },
    async ({ params, body }, reply) => {
      const task = await server.stop(params.name, body.graceMs ?? schemas.defaultGraceMs);
      return reply.code(202).send({ task: task.id, domain: params.name });
    },
  );
  api.delete<{ Params: schemas.DomainParameters; Querystring: schemas.RemoveQuery }>(
    "/v1/domains/:name",
    { schema: { params, querystring: schemas.RemoveQuery } },
    async ({ params, query }, reply) => {
      const task = await server.remove(params.name, query.graceMs ?? 0);
      return reply.code(202).send({ task: task.id, domain: params.name });
    },
  );
}
