/**
 * How a XenoServer sells sessions: one JSON file, which its operator writes and `xeno session serve` reads. `xeno session serve
 * --schema` prints what may stand in one.
 */
import { readFile } from "node:fs/promises";
import { type Static, Type } from "typebox";
import { Errors } from "typebox/value";
import { XenoError } from "../../cowfs/errors.ts";
import { Tokens } from "../information/advertisement.ts";
import { AcceptedCorporation } from "./accepted-corporations.ts";
import { Prices } from "./prices.ts";

const closed = { additionalProperties: false };
const name = Type.String({ minLength: 1, maxLength: 100 });
const seconds = Type.Number({ minimum: 0.05, maximum: 366 * 24 * 3600 });

export const Environment = Type.Object(
  {
    type: Type.String({ minLength: 1, maxLength: 100, description: "What clients ask for as EnvType." }),
    kernels: Type.Record(name, Type.String({ maxLength: 1024 }), {
      minProperties: 1,
      maxProperties: 100,
      description: "URLs of kernel templates, by what clients ask for as EnvKernel. The first is the default.",
    }),
  },
  closed,
);
export type Environment = Static<typeof Environment>;

export const SessionsConfiguration = Type.Object(
  {
    $schema: Type.Optional(Type.String()),
    name: Type.String({ pattern: "^[a-z0-9-]{1,40}$", description: "As XenoCorps and clients are told it." }),
    address: Type.String({
      pattern: "^https?://[^/?#]+$",
      description: "Where clients reach it: https://HOST[:PORT].",
    }),
    listen: Type.String({ description: "HOST:PORT, in plain HTTP: put a TLS proxy before it." }),
    key: Type.String({ description: "The name of the key that signs its leases: see xeno key new." }),
    servers: Type.Array(Type.String({ pattern: "^[a-z0-9-]{1,40}$" }), {
      minItems: 1,
      maxItems: 100,
      description: "The XenoServers that it sells, as xeno server ls names them: one, or a cluster.",
    }),
    corporations: Type.Array(AcceptedCorporation, { minItems: 1, maxItems: 100 }),
    environments: Type.Array(Environment, { minItems: 1, maxItems: 100 }),
    currency: Type.String({ pattern: "^[A-Z]{3}$" }),
    prices: Prices,
    chargeSeconds: Type.Optional(Type.Number({ ...seconds, description: "Between two charges. Default 60." })),
    graceSeconds: Type.Optional(
      Type.Number({ ...seconds, description: "How long a session that is suspended is kept. Default 86400." }),
    ),
    maxTermSeconds: Type.Optional(Type.Number({ ...seconds, description: "Of a lease. Default 2592000." })),
    information: Type.Optional(
      Type.Array(Type.String({ pattern: "^https?://[^/?#]+$" }), {
        maxItems: 16,
        description: "Nodes of the information service to advertise at.",
      }),
    ),
    advertiseSeconds: Type.Optional(Type.Number({ ...seconds, description: "Between two. Default 120." })),
    peers: Type.Optional(
      Type.Array(Type.String({ pattern: "^https?://[^/?#]+$" }), {
        maxItems: 1000,
        description: "XenoServers to measure round trips to, though their addresses are not public.",
      }),
    ),
    tokens: Type.Optional(Tokens),
  },
  { additionalProperties: false, title: "How a XenoServer sells sessions" },
);
export type SessionsConfiguration = Static<typeof SessionsConfiguration>;

/** Throws `configuration-invalid`: where in it, and why. */
export async function readSessionsConfiguration(file: string): Promise<SessionsConfiguration> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(file, "utf8"));
  } catch (cause) {
    throw invalid(file, (cause as Error).message);
  }
  const [error] = Errors(SessionsConfiguration, value);
  if (error === undefined) return value as SessionsConfiguration;
  const where = error.instancePath || "it";
  throw invalid(file, error.keyword === "boolean" ? `${where} is no known property` : `${where} ${error.message}`);
}

function invalid(file: string, reason: string): XenoError {
  return new XenoError("configuration-invalid", `${file} does not say how to sell sessions: ${reason}`, {
    hint: "xeno session serve --schema prints what may stand in it.",
  });
}
