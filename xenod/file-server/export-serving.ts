import type { FileServerClient } from "./client.ts";

/** What can be asked about exports: of the worker that has them, of a client of it, and of the first worker about those of all. */
export type ExportServing = Pick<
  FileServerClient,
  | "putExport"
  | "prepareExport"
  | "deleteExport"
  | "getExport"
  | "placeExport"
  | "layFiles"
  | "exchangeFiles"
  | "startEpoch"
  | "takeSnapshot"
  | "listSnapshots"
  | "dropSnapshot"
  | "forkSnapshot"
  | "holdExport"
  | "serveExport"
  | "follow"
>;
