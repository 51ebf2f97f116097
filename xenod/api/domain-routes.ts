import type { FastifyInstance } from "fastify";
import { DeployedSize, Deployment } from "../daemon/deployment.ts";
import type { XenoServer } from "../daemon/xeno-server.ts";
import * as schemas from "./schemas.ts";

/** A deployment's files are in it. */
const maxDeploymentBytes = 2 * 1024 * 1024;

export function addDomainRoutes(api: FastifyInstance, server: XenoServer): void {
  const params = schemas.DomainParameters;
  const response = { 202: schemas.Begun };
  api.post<{ Body: Deployment }>(
    "/v1/deployments",
    { schema: { summary: "Deploy a domain", body: Deployment, response }, bodyLimit: maxDeploymentBytes },
    async ({ body }, reply) => reply.code(202).send(await server.deploy(body)),
  );
  api.get("/v1/domains", { schema: { summary: "All domains" } }, async () => server.domains());
  api.get<{ Params: schemas.DomainParameters }>(
    "/v1/domains/:name",
    { schema: { summary: "A domain, with how its root is served", params } },
    async ({ params }) => server.domain(params.name),
  );
  api.get<{ Params: schemas.DomainParameters; Querystring: schemas.LogQuery }>(
    "/v1/domains/:name/log",
    { schema: { summary: "The end of what its console printed, as text", params, querystring: schemas.LogQuery } },
    async ({ params, query }, reply) => {
      const text = await server.readConsoleLog(params.name, query);
      return reply.type("text/plain; charset=utf-8").send(text);
    },
  );
  api.post<{ Params: schemas.DomainParameters }>(
    "/v1/domains/:name/start",
    { schema: { summary: "Boot a domain that ended, from its journal", params, response } },
    async ({ params }, reply) => {
      const task = await server.start(params.name);
      return reply.code(202).send({ task: task.id, domain: params.name });
    },
  );
  api.post<{ Params: schemas.DomainParameters; Body: schemas.StopBody }>(
    "/v1/domains/:name/stop",
    { schema: { summary: "End its guest; its journal stays", params, body: schemas.StopBody, response } },
    async ({ params, body }, reply) => {
      const task = await server.stop(params.name, body.graceMs ?? schemas.defaultGraceMs);
      return reply.code(202).send({ task: task.id, domain: params.name });
    },
  );
  api.put<{ Params: schemas.DomainParameters; Body: DeployedSize }>(
    "/v1/domains/:name/size",
    {
      schema: {
        summary:
          "Give it another size: at once where that can be done under its guest, else (`nextSize`) when it next boots",
        params,
        body: DeployedSize,
      },
    },
    async ({ params, body }) => server.resize(params.name, body),
  );
  api.delete<{ Params: schemas.DomainParameters; Querystring: schemas.RemoveQuery }>(
    "/v1/domains/:name",
    {
      schema: {
        summary: "End its guest, and delete its journal and logs",
        params,
        querystring: schemas.RemoveQuery,
        response,
      },
    },
    async ({ params, query }, reply) => {
      const task = await server.remove(params.name, query.graceMs ?? 0);
      return reply.code(202).send({ task: task.id, domain: params.name });
    },
  );
}
