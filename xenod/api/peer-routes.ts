/** What other XenoServers ask that send domains here: see callers.ts for who may, and migration/peers/messages.ts. */
import type { Readable } from "node:stream";
import type { FastifyInstance } from "fastify";
import { type Static, Type } from "typebox";
import { XenoError } from "../../cowfs/errors.ts";
import type { TargetEnd } from "../daemon/migrations/target-end.ts";
import {
  CheckpointFileQuery,
  CheckpointParameters,
  JournalEnd,
  journalFilePattern,
  KeptCheckpoint,
  MigrationOffer,
  offerFormat,
  PeerParameters,
  ReceptionParameters,
  SourceSays,
} from "../migration/peers/messages.ts";

/** A deployment's files are in an offer, and the names of a journal's files in what is said last. */
const maxBodyBytes = 16 * 1024 * 1024;

const FileQuery = Type.Object({ path: Type.String({ pattern: journalFilePattern }) });

export function addPeerRoutes(api: FastifyInstance, target: TargetEnd): void {
  // Bytes as they come, however many: receiveFile bounds them.
  api.addContentTypeParser("application/octet-stream", (_request, payload, done) => done(null, payload));
  const bodyLimit = maxBodyBytes;
  api.post<{ Params: PeerParameters; Body: MigrationOffer }>(
    "/v1/peers/:server/receptions",
    {
      schema: { summary: "Offer a domain", params: PeerParameters, body: MigrationOffer },
      bodyLimit,
      preValidation: async ({ body, params }) => requireKnownFormat(body, params.server),
    },
    async ({ params, body }, reply) => {
      const migration = await target.receiver.accept(params.server, body);
      return reply.code(201).send({ migration });
    },
  );
  api.put<{ Params: ReceptionParameters; Querystring: Static<typeof FileQuery>; Body: Readable }>(
    "/v1/peers/:server/receptions/:migration/files",
    { schema: { summary: "Send a file of its journal", params: ReceptionParameters, querystring: FileQuery } },
    async ({ params: { server, migration }, query, body }) => {
      await target.receiver.receiveFile(server, migration, query.path, body);
      return {};
    },
  );
  api.put<{ Params: ReceptionParameters; Body: JournalEnd }>(
    "/v1/peers/:server/receptions/:migration/journal",
    { schema: { summary: "Send the end of its journal", params: ReceptionParameters, body: JournalEnd }, bodyLimit },
    async ({ params: { server, migration }, body }) => {
      await target.endJournal(server, migration, body);
      return {};
    },
  );
  api.put<{ Params: CheckpointParameters; Querystring: CheckpointFileQuery; Body: Readable }>(
    "/v1/peers/:server/receptions/:migration/checkpoints/:checkpoint/files",
    {
      schema: {
        summary: "Send a file of a checkpoint",
        params: CheckpointParameters,
        querystring: CheckpointFileQuery,
      },
    },
    async ({ params: { server, migration, checkpoint }, query, body }) => {
      const { path, sameCheckpoint, samePath } = query;
      const isLink = sameCheckpoint !== undefined && samePath !== undefined;
      const same = isLink ? { checkpoint: sameCheckpoint, path: samePath } : undefined;
      await target.receiver.receiveCheckpointFile(server, migration, { checkpoint, path }, same ?? body);
      return {};
    },
  );
  api.put<{ Params: CheckpointParameters; Body: KeptCheckpoint }>(
    "/v1/peers/:server/receptions/:migration/checkpoints/:checkpoint",
    {
      schema: { summary: "Say that a checkpoint is there", params: CheckpointParameters, body: KeptCheckpoint },
      bodyLimit,
    },
    async ({ params: { server, migration }, body }) => {
      await target.receiver.keepCheckpoint(server, migration, body);
      return {};
    },
  );
  api.post<{ Params: ReceptionParameters; Body: SourceSays }>(
    "/v1/peers/:server/receptions/:migration/messages",
    { schema: { summary: "Say something of the hand-over", params: ReceptionParameters, body: SourceSays }, bodyLimit },
    async ({ params: { server, migration }, body }) => target.hear(server, migration, body),
  );
  api.get<{ Params: ReceptionParameters }>(
    "/v1/peers/:server/receptions/:migration",
    { schema: { summary: "Hear what there is to say of the hand-over", params: ReceptionParameters } },
    async ({ params: { server, migration } }) => target.listen(server, migration),
  );
}

/** Before it is looked at further: what a newer XenoServer says may have any form. Throws `offer-unknown`. */
function requireKnownFormat(body: unknown, from: string): void {
  const format = (body as { format?: unknown } | null)?.format;
  if (typeof format !== "number" || format <= offerFormat) return;
  throw new XenoError(
    "offer-unknown",
    `this XenoServer takes offers up to format ${offerFormat}, and ${from}'s is of format ${format}: it is older than ${from}`,
    { hint: "upgrade this XenoServer first" },
  );
}
