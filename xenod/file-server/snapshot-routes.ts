/** Snapshots over the control socket. Requests may come twice: what is done already is answered as done. */
import type { FastifyInstance } from "fastify";
import type { Static } from "typebox";
import type { ExportTable } from "./export-table.ts";
import { SnapshotFork, SnapshotListing, SnapshotReference } from "./protocol.ts";

export function addSnapshotRoutes(server: FastifyInstance, table: ExportTable): void {
  server.post<{ Body: SnapshotReference }>(
    "/snapshots/take",
    { schema: { body: SnapshotReference } },
    ({ body: { journal, name } }) =>
      table.useJournal(journal, async ({ snapshots }) => {
        const known = snapshots.list().find((each) => each.name === name);
        return known ?? (await snapshots.take(name));
      }),
  );
  server.post<{ Body: Static<typeof SnapshotListing> }>(
    "/snapshots/list",
    { schema: { body: SnapshotListing } },
    ({ body }) => table.useJournal(body.journal, async ({ snapshots }) => snapshots.list()),
  );
  server.post<{ Body: SnapshotReference }>(
    "/snapshots/drop",
    { schema: { body: SnapshotReference } },
    ({ body: { journal, name } }) =>
      table.useJournal(journal, async ({ snapshots }) => {
        if (snapshots.list().some((each) => each.name === name)) await snapshots.drop(name);
        return {};
      }),
  );
  server.post<{ Body: SnapshotFork }>(
    "/snapshots/fork",
    { schema: { body: SnapshotFork } },
    ({ body: { journal, name, fork, lineage } }) =>
      table.useJournal(journal, async ({ snapshots }) => {
        await snapshots.fork(name, fork, lineage);
        return {};
      }),
  );
}
