/**
 * A node's HTTP API. Reading needs no credential: what is advertised is public. Writing needs none either: an advertisement
 * proves itself.
 *
 *     POST /v1/advertisements                 {text}: {server, isNew}
 *     GET  /v1/servers/ID                     {server, address, at, expires, ageMs, tokens, text}
 *     GET  /v1/lookup?token=CPUmsps&from=100&to=150&limit=20&after=…     {matches, entries, after}
 *     GET  /v1/lookup?token=EnvType&value=Linux
 *     GET  /v1/changes?since=N                {life, changes}: for peers
 */
import type { FastifyInstance } from "fastify";
import { type Static, Type } from "typebox";
import { XenoError } from "../../cowfs/errors.ts";
import { createJsonServer } from "../../xenod/http/json-server.ts";
import { maxAdvertisementBytes } from "./advertisement.ts";
import type { InformationNode } from "./node.ts";
import type { Entry, ValueRange } from "./ordered-index.ts";

const NewAdvertisement = Type.Object(
  { text: Type.String({ maxLength: maxAdvertisementBytes }) },
  { additionalProperties: false },
);
const LookupQuery = Type.Object({
  token: Type.String({ maxLength: 50 }),
  value: Type.Optional(Type.String({ maxLength: 200 })),
  from: Type.Optional(Type.Number()),
  to: Type.Optional(Type.Number()),
  limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100 }),
  after: Type.Optional(Type.String({ maxLength: 1000 })),
});
type LookupQuery = Static<typeof LookupQuery>;
const ChangesQuery = Type.Object({ since: Type.Integer({ minimum: 0, default: 0 }) });
const ServerParameters = Type.Object({ id: Type.String({ maxLength: 100 }) });

/** Not listening yet. */
export function createInformationApi(
  node: InformationNode,
  onDefect: (error: unknown) => void,
  now: () => number = Date.now,
): FastifyInstance {
  const api = createJsonServer(onDefect);
  api.post<{ Body: Static<typeof NewAdvertisement> }>(
    "/v1/advertisements",
    { schema: { body: NewAdvertisement } },
    async ({ body }) => node.advertise(body.text),
  );
  api.get<{ Params: Static<typeof ServerParameters> }>(
    "/v1/servers/:id",
    { schema: { params: ServerParameters } },
    async ({ params }) => {
      const advertisement = node.find(params.id);
      if (advertisement !== undefined) return { ...advertisement, ageMs: Math.max(0, now() - advertisement.at) };
      throw new XenoError("advertisement-unknown", `no XenoServer ${params.id} is advertised here`, {
        hint: "advertisements expire; ask another node, or the XenoServer",
      });
    },
  );
  api.get<{ Querystring: LookupQuery }>("/v1/lookup", { schema: { querystring: LookupQuery } }, async ({ query }) => {
    const { token, limit, after } = query;
    const found = node.file.lookup({ token, range: readRange(query), limit, after: readCursor(after) });
    const last = found.entries.length === limit ? found.entries.at(-1) : undefined;
    return { ...found, after: last === undefined ? undefined : writeCursor(last) };
  });
  api.get<{ Querystring: Static<typeof ChangesQuery> }>(
    "/v1/changes",
    { schema: { querystring: ChangesQuery } },
    async ({ query }) => ({ life: node.life, changes: node.file.listChanges(query.since) }),
  );
  return api;
}

function readRange({ value, from, to }: LookupQuery): ValueRange {
  if (value === undefined) return { from: from ?? Number.NEGATIVE_INFINITY, to: to ?? Number.POSITIVE_INFINITY };
  if (from === undefined && to === undefined) return { from: value, to: value };
  throw new XenoError("lookup-invalid", "a lookup has a value or a range, not both", {
    hint: "from and to for numbers, value for a text",
  });
}

function writeCursor(entry: Entry): string {
  return Buffer.from(JSON.stringify([entry.value, entry.server])).toString("base64url");
}

function readCursor(text: string | undefined): Entry | undefined {
  if (text === undefined) return undefined;
  try {
    const [value, server] = JSON.parse(Buffer.from(text, "base64url").toString()) as [unknown, unknown];
    if ((typeof value === "number" || typeof value === "string") && typeof server === "string")
      return { value, server };
  } catch {}
  throw new XenoError("lookup-invalid", "`after` is not what a lookup gave", { hint: "leave it out to begin anew" });
}
