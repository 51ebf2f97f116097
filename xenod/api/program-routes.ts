import type { FastifyInstance } from "fastify";
import { type Static, Type } from "typebox";
import type { XenoServer } from "../daemon/xeno-server.ts";
import { AssignedProgram, maxPrograms, programIdPattern } from "../programs/assignment.ts";
import { DomainParameters, deploymentId } from "./schemas.ts";

/** In base64, with room for a MiB. */
const maxProgramBytes = 2 * 1024 * 1024;

const Program = Type.Object({ ...DomainParameters.properties, program: Type.String({ pattern: programIdPattern }) });
type Program = Static<typeof Program>;
const NewProgram = Type.Object(
  { deployment: deploymentId, base64: Type.String({ pattern: "^[A-Za-z0-9+/]*={0,2}$" }) },
  { additionalProperties: false },
);
const Assignment = Type.Object(
  { deployment: deploymentId, programs: Type.Array(AssignedProgram, { maxItems: maxPrograms }) },
  { additionalProperties: false },
);
const OutputQuery = Type.Object({
  deployment: deploymentId,
  bytes: Type.Integer({ minimum: 1, maximum: 1_048_576, default: 65_536 }),
});

/** See xenod/programs. */
export function addProgramRoutes(api: FastifyInstance, { programs }: XenoServer): void {
  api.put<{ Params: Program; Body: Static<typeof NewProgram> }>(
    "/v1/domains/:name/programs/:program",
    {
      schema: { summary: "Lay a program's tar into a running guest", params: Program, body: NewProgram },
      bodyLimit: maxProgramBytes,
    },
    async ({ params: { name, program }, body: { deployment, base64 } }) => {
      await programs.lay({ name, deployment }, program, base64);
      return {};
    },
  );
  api.put<{ Params: DomainParameters; Body: Static<typeof Assignment> }>(
    "/v1/domains/:name/programs",
    {
      schema: {
        summary: "All programs that a running guest is to know of, and how those ended that did",
        params: DomainParameters,
        body: Assignment,
      },
    },
    async ({ params: { name }, body: { deployment, programs: assigned } }) =>
      programs.assign({ name, deployment }, assigned),
  );
  api.get<{ Params: Program; Querystring: Static<typeof OutputQuery> }>(
    "/v1/domains/:name/programs/:program/output",
    { schema: { summary: "The end of what a program printed", params: Program, querystring: OutputQuery } },
    async ({ params: { name, program }, query: { deployment, bytes } }) =>
      programs.readOutput({ name, deployment }, program, bytes),
  );
}
