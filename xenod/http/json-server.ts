/**
 * The answering side: Fastify with our errors. Who may connect, whoever listens decides.
 */
import fastify, { type FastifyError, type FastifyInstance } from "fastify";
import { XenoError } from "../../cowfs/errors.ts";
import { buildLazyValidators } from "./lazy-validators.ts";

/** How an error looks on the wire. */
export interface ErrorBody {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}

export function createJsonServer(onDefect: (error: unknown) => void): FastifyInstance {
  const server = fastify({
    bodyLimit: 64 * 1024,
    forceCloseConnections: true,
    // The schemas are typebox's: to check them by JSON Schema's own takes Ajv 0.1 s at the first.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: true, validateSchema: false } },
    schemaController: { compilersFactory: { buildValidator: buildLazyValidators } },
  });
  server.setErrorHandler((error: FastifyError, _request, reply) => {
    if (!(error instanceof XenoError) && error.validation === undefined && (error.statusCode ?? 500) >= 500)
      onDefect(error);
    return reply.code(statusOf(error)).send(describeError(error));
  });
  server.setNotFoundHandler((request, reply) =>
    reply.code(404).send({ code: "route-unknown", message: `there is no ${request.method} ${request.url}` }),
  );
  return server;
}

export function describeError(error: unknown): ErrorBody {
  if (error instanceof XenoError) return { code: error.code, message: error.message, hint: error.hint };
  const { message, validation, statusCode = 500 } = error as FastifyError;
  if (validation !== undefined || statusCode < 500) return { code: "request-invalid", message };
  if ((error as Error).name === "AbortError") return { code: "interrupted", message: "the server is ending" };
  return { code: "defect", message: `this is a defect: ${message}`, hint: "see the log, and report it" };
}

export function statusOf(error: unknown): number {
  if (!(error instanceof XenoError)) return (error as FastifyError).statusCode ?? 500;
  const { code } = error as XenoError;
  if (/^(domain|task|export|route|journal|pin|session|reception)-unknown$/.test(code)) return 404;
  if (/-(exists|busy|conflict)$|^in-use$/.test(code)) return 409;
  return /^(state|defect)/.test(code) ? 500 : 422;
}
