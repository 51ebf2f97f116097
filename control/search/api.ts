/** `POST /v1/find`: a query as its body, a `FindResult` as its answer. Beside a node of the information service, in its process. */
import type { FastifyInstance } from "fastify";
import { XenoError } from "../../cowfs/errors.ts";
import type { InformationNode } from "../information/node.ts";
import { findServers } from "./find-servers.ts";
import { Query } from "./query.ts";

/** A condition of a condition of…; what checks and follows it calls itself as often. */
const maxDepth = 32;

export function addSearchRoute(api: FastifyInstance, node: InformationNode, now: () => number = Date.now): void {
  const preValidation = async ({ body }: { body: unknown }) => requireShallow(body);
  api.post<{ Body: Query }>("/v1/find", { schema: { body: Query }, preValidation }, async ({ body }) =>
    findServers(node.file, body, now()),
  );
}

function requireShallow(body: unknown): void {
  let level = [body];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > maxDepth)
      throw new XenoError("request-invalid", "this query is nested too deeply", { hint: `at most ${maxDepth} levels` });
    level = level.flatMap((value) => (typeof value === "object" && value !== null ? Object.values(value) : []));
  }
}
