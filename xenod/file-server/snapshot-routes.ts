/** Snapshots over the control socket. Requests may come twice: what is done already is answered as done. */
import type { FastifyInstance } from "fastify";
import type { Static } from "typebox";
import type { ExportServing } from "./export-serving.ts";
import { SnapshotFork, SnapshotListing, SnapshotReference } from "./protocol.ts";

export function addSnapshotRoutes(server: FastifyInstance, exports: ExportServing): void {
  server.post<{ Body: SnapshotReference }>(
    "/snapshots/take",
    { schema: { body: SnapshotReference } },
    async ({ body }) => exports.takeSnapshot(body),
  );
  server.post<{ Body: Static<typeof SnapshotListing> }>(
    "/snapshots/list",
    { schema: { body: SnapshotListing } },
    async ({ body }) => exports.listSnapshots(body.journal),
  );
  server.post<{ Body: SnapshotReference }>(
    "/snapshots/drop",
    { schema: { body: SnapshotReference } },
    async ({ body }) => {
      await exports.dropSnapshot(body);
      return {};
    },
  );
  server.post<{ Body: SnapshotFork }>("/snapshots/fork", { schema: { body: SnapshotFork } }, async ({ body }) => {
    await exports.forkSnapshot(body);
    return {};
  });
}
