/** A client of the file server's control socket. Waits out a restart of the worker. */
import { JsonClient } from "../http/json-client.ts";
import { fileServerFiles } from "./files.ts";
import type { ExportSpecification, ExportStatus, FileServerStatus } from "./protocol.ts";

/** Opening pulls what is not cached of the layers' indexes. */
const openDeadlineMs = 120_000;

export class FileServerClient {
  readonly #client: JsonClient;

  constructor(stateDirectory: string, patienceMs?: number) {
    this.#client = new JsonClient({
      socketPath: fileServerFiles(stateDirectory).socket,
      server: "the file server",
      hint: `see ${fileServerFiles(stateDirectory).log}`,
      patienceMs,
    });
  }

  /** Settles once the export accepts connections, and will in every later life of the file server. */
  putExport(id: string, specification: ExportSpecification, signal?: AbortSignal): Promise<ExportStatus> {
    const body = specification;
    return this.#client.request({ method: "PUT", path: `/exports/${id}`, body, deadlineMs: openDeadlineMs, signal });
  }

  /** Missing is fine. */
  async deleteExport(id: string): Promise<void> {
    await this.#client.request({ method: "DELETE", path: `/exports/${id}` });
  }

  getExport(id: string, signal?: AbortSignal): Promise<ExportStatus> {
    return this.#client.request({ method: "GET", path: `/exports/${id}`, signal });
  }

  /** The guest was reset: its requests are new ones, whatever their numbers. */
  startEpoch(id: string): Promise<ExportStatus> {
    return this.#client.request({ method: "POST", path: `/exports/${id}/epoch` });
  }

  status(signal?: AbortSignal): Promise<FileServerStatus> {
    return this.#client.request({ method: "GET", path: "/status", signal });
  }

  close(): Promise<void> {
    return this.#client.close();
  }
}
