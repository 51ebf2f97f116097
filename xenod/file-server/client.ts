/** A client of a worker's control socket: the first's, who answers for all. Waits out a restart of the worker. */
import type { Snapshot } from "../../cowfs/journals/snapshots.ts";
import { JsonClient } from "../http/json-client.ts";
import { fileServerFiles } from "./files.ts";
import type {
  ExportPlace,
  ExportPreparation,
  ExportSpecification,
  ExportStatus,
  FileExchange,
  FileRead,
  FileServerStatus,
  FileToLay,
  Followed,
  FollowRequest,
  HeldExport,
  PrecacheRequest,
  PrecacheStatus,
  SnapshotFork,
  SnapshotReference,
} from "./protocol.ts";

/** Opening pulls what is not cached of the layers' indexes. */
const openDeadlineMs = 120_000;
/** What a guest has written is copied. */
const followDeadlineMs = 600_000;
/** The journal's log is folded first, and files may have to be copied to another file system. */
const forkDeadlineMs = 600_000;

export class FileServerClient {
  readonly #client: JsonClient;

  constructor(stateDirectory: string, patienceMs?: number, worker = 0) {
    const { socket, log } = fileServerFiles(stateDirectory, worker);
    this.#client = new JsonClient({
      endpoint: { socketPath: socket },
      server: worker === 0 ? "the file server" : `worker ${worker} of the file server`,
      hint: `see ${log}`,
      patienceMs,
    });
  }

  /** Settles once the export accepts connections, and will in every later life of the file server. */
  putExport(id: string, specification: ExportSpecification, signal?: AbortSignal): Promise<ExportStatus> {
    const body = specification;
    return this.#client.request({ method: "PUT", path: `/exports/${id}`, body, deadlineMs: openDeadlineMs, signal });
  }

  /** Does beforehand what `putExport` of that id will take: see prepared-exports.ts. `deleteExport` gives it up. */
  async prepareExport(id: string, body: ExportPreparation, signal?: AbortSignal): Promise<void> {
    const path = `/exports/${id}/preparation`;
    await this.#client.request({ method: "PUT", path, body, deadlineMs: openDeadlineMs, signal });
  }

  /** Before the guest first runs: see lay-files.ts. */
  layFiles(id: string, files: readonly FileToLay[], signal?: AbortSignal): Promise<ExportStatus> {
    return this.#client.request({ method: "POST", path: `/exports/${id}/files`, body: files, signal });
  }

  /** With the root of a guest that runs: see exchange-files.ts. */
  exchangeFiles(id: string, body: FileExchange, signal?: AbortSignal): Promise<{ read: (FileRead | null)[] }> {
    return this.#client.request({ method: "POST", path: `/exports/${id}/exchange`, body, signal });
  }

  /** Missing is fine. */
  async deleteExport(id: string): Promise<void> {
    await this.#client.request({ method: "DELETE", path: `/exports/${id}` });
  }

  getExport(id: string, signal?: AbortSignal): Promise<ExportStatus> {
    return this.#client.request({ method: "GET", path: `/exports/${id}`, signal });
  }

  /** Of the worker that is asked, and no other. */
  placeExport(id: string): Promise<ExportPlace> {
    return this.#client.request({ method: "GET", path: `/exports/${id}/place`, deadlineMs: openDeadlineMs });
  }

  /** The guest was reset: its requests are new ones, whatever their numbers. */
  startEpoch(id: string): Promise<ExportStatus> {
    return this.#client.request({ method: "POST", path: `/exports/${id}/epoch` });
  }

  /** Settles once it is on stable storage. Where the journal has one of that name, it is that one. */
  takeSnapshot(of: SnapshotReference): Promise<Snapshot> {
    return this.#client.request({ method: "POST", path: "/snapshots/take", body: of, deadlineMs: openDeadlineMs });
  }

  /** Oldest first. */
  listSnapshots(journal: string): Promise<Snapshot[]> {
    const body = { journal };
    return this.#client.request({ method: "POST", path: "/snapshots/list", body, deadlineMs: openDeadlineMs });
  }

  /** Missing is fine. */
  async dropSnapshot(of: SnapshotReference): Promise<void> {
    await this.#client.request({ method: "POST", path: "/snapshots/drop", body: of, deadlineMs: openDeadlineMs });
  }

  /** Settles once the new journal is on stable storage. Where the fork is there already, nothing changes. */
  async forkSnapshot(fork: SnapshotFork): Promise<void> {
    await this.#client.request({ method: "POST", path: "/snapshots/fork", body: fork, deadlineMs: forkDeadlineMs });
  }

  /** Cuts the guest off, until `serveExport`; also over restarts of the file server. The journal stays open. */
  holdExport(id: string): Promise<HeldExport> {
    return this.#client.request({ method: "POST", path: `/exports/${id}/hold` });
  }

  /** Ends a hold. One that is not held is served already. */
  async serveExport(id: string): Promise<void> {
    await this.#client.request({ method: "POST", path: `/exports/${id}/serve` });
  }

  status(signal?: AbortSignal): Promise<FileServerStatus> {
    return this.#client.request({ method: "GET", path: "/status", signal });
  }

  /** Lays the journal of an ended guest over what its names mean now. */
  follow(request: FollowRequest, signal?: AbortSignal): Promise<Followed> {
    return this.#client.request({
      method: "POST",
      path: "/follow",
      body: request,
      deadlineMs: followDeadlineMs,
      signal,
    });
  }

  /** Begins to precache, or says how far it is: see precaching.ts. */
  precache(id: string, request: PrecacheRequest, signal?: AbortSignal): Promise<PrecacheStatus> {
    return this.#client.request({ method: "PUT", path: `/precache/${id}`, body: request, signal });
  }

  /** What is here stays. Missing is fine. */
  async cancelPrecache(id: string): Promise<void> {
    await this.#client.request({ method: "DELETE", path: `/precache/${id}` });
  }

  close(): Promise<void> {
    return this.#client.close();
  }
}
