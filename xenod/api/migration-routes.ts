import type { FastifyInstance } from "fastify";
import { type Static, Type } from "typebox";
import type { XenoServer } from "../daemon/xeno-server.ts";
import { Peer } from "../migration/peers/peer.ts";
import { Begun, DomainParameters } from "./schemas.ts";

const MigrateBody = Type.Object(
  {
    to: Peer,
    dropCheckpoints: Type.Optional(Type.Boolean({ description: "They are given up. Default: they go with it." })),
  },
  { additionalProperties: false },
);

const ResolveBody = Type.Object(
  { what: Type.Enum(["run", "drop"], { description: "The domain runs here; or what is here of it goes." }) },
  { additionalProperties: false },
);

export function addMigrationRoutes(api: FastifyInstance, server: XenoServer): void {
  const params = DomainParameters;
  api.post<{ Params: DomainParameters; Body: Static<typeof MigrateBody> }>(
    "/v1/domains/:name/migrate",
    {
      schema: {
        summary: "Move a running domain to another XenoServer",
        params,
        body: MigrateBody,
        response: { 202: Begun },
      },
    },
    async ({ params: { name }, body }, reply) => {
      const task = await server.migrate(name, body);
      return reply.code(202).send({ task: task.id, domain: task.domain });
    },
  );
  api.post<{ Params: DomainParameters; Body: Static<typeof ResolveBody> }>(
    "/v1/domains/:name/migrate/resolve",
    {
      schema: { summary: "Say whose a domain is whose other XenoServer will never answer", params, body: ResolveBody },
    },
    async ({ params: { name }, body }) => {
      await server.resolveMigration(name, body.what === "run");
      return {};
    },
  );
}
