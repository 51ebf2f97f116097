import type { FastifyInstance } from "fastify";
import { type Static, Type } from "typebox";
import { domainNamePattern } from "../daemon/deployment.ts";
import type { XenoServer } from "../daemon/xeno-server.ts";
import { Begun, DomainParameters } from "./schemas.ts";

const SuspendBody = Type.Object(
  { goesOn: Type.Optional(Type.Boolean({ description: "The guest runs on after its checkpoint." })) },
  { additionalProperties: false },
);

const number = Type.Integer({ minimum: 1, maximum: 1_000_000_000 });

const ResumeBody = Type.Object(
  {
    checkpoint: Type.Optional(number),
    as: Type.Optional(Type.String({ pattern: domainNamePattern, description: "As another domain of this name." })),
  },
  { additionalProperties: false },
);

const ResumptionBody = Type.Object(
  {
    url: Type.String({ minLength: 1, maxLength: 1024 }),
    name: Type.Optional(Type.String({ pattern: domainNamePattern, description: "Default: as it was called." })),
  },
  { additionalProperties: false },
);

const CheckpointParameters = Type.Object({ name: DomainParameters.properties.name, number });

const response = { 202: Begun };

export function addCheckpointRoutes(api: FastifyInstance, server: XenoServer): void {
  api.post<{ Params: DomainParameters; Body: Static<typeof SuspendBody> }>(
    "/v1/domains/:name/suspend",
    { schema: { summary: "Take a checkpoint", params: DomainParameters, body: SuspendBody, response } },
    async ({ params, body }, reply) => {
      const task = await server.suspend(params.name, body);
      return reply.code(202).send({ task: task.id, domain: task.domain });
    },
  );
  api.post<{ Params: DomainParameters; Body: Static<typeof ResumeBody> }>(
    "/v1/domains/:name/resume",
    { schema: { summary: "Run a domain out of a checkpoint", params: DomainParameters, body: ResumeBody, response } },
    async ({ params, body }, reply) => {
      const task = await server.resume(params.name, body);
      return reply.code(202).send({ task: task.id, domain: task.domain });
    },
  );
  api.get<{ Params: DomainParameters }>(
    "/v1/domains/:name/checkpoints",
    { schema: { summary: "Its checkpoints, oldest first", params: DomainParameters } },
    async ({ params }) => server.checkpoints(params.name),
  );
  api.delete<{ Params: Static<typeof CheckpointParameters> }>(
    "/v1/domains/:name/checkpoints/:number",
    { schema: { summary: "Forget a checkpoint", params: CheckpointParameters } },
    async ({ params }) => {
      await server.removeCheckpoint(params.name, params.number);
      return {};
    },
  );
  api.post<{ Params: Static<typeof CheckpointParameters> }>(
    "/v1/domains/:name/checkpoints/:number/publish",
    { schema: { summary: "Publish a checkpoint to XenoStore, signed", params: CheckpointParameters, response } },
    async ({ params }, reply) => {
      const task = await server.publishCheckpoint(params.name, params.number);
      return reply.code(202).send({ task: task.id, domain: task.domain });
    },
  );
  api.post<{ Body: Static<typeof ResumptionBody> }>(
    "/v1/resumptions",
    { schema: { summary: "Resume a checkpoint that another XenoServer published", body: ResumptionBody, response } },
    async ({ body }, reply) => {
      const task = await server.resumePublished(body);
      return reply.code(202).send({ task: task.id, domain: task.domain });
    },
  );
}
