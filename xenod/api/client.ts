/** A client of Xenod's API. Counts what it asks and gets, as traffic between client and XenoServer. */
import type { Duplex } from "node:stream";
import { XenoError } from "../../cowfs/errors.ts";
import type { Traffic } from "../../xenostore/stores/meter.ts";
import type { CheckpointManifest } from "../checkpoints/manifest.ts";
import type { DeployedSize, Deployment } from "../daemon/deployment.ts";
import type { BegunDeployment } from "../daemon/deployments.ts";
import type { DomainRecord } from "../daemon/domain-record.ts";
import type { ServerEvent } from "../daemon/event-feed.ts";
import type { MigrationRequest } from "../daemon/migrations/send-domain.ts";
import type { DomainView } from "../daemon/observe-domain.ts";
import type { ServerStatus } from "../daemon/server-status.ts";
import type { ResumeRequest } from "../daemon/suspensions.ts";
import type { Task } from "../daemon/task-list.ts";
import type { PrecacheRequest, PrecacheStatus } from "../file-server/protocol.ts";
import type { Endpoint } from "../http/endpoint.ts";
import { JsonClient } from "../http/json-client.ts";
import type { AssignedProgram, ProgramOutcome } from "../programs/assignment.ts";
import type { DomainReference, ProgramOutput } from "../programs/guest-programs.ts";

export interface XenodClientOptions {
  /** `<state>/xenod.sock`, or a URL with keys. */
  readonly endpoint: Endpoint;
  /** The XenoServer's name, for messages and traffic. */
  readonly name: string;
  /** How long a Xenod may be away, as when it restarts. Default 3,000. */
  readonly patienceMs?: number;
  /** Of one request; the longest take 30,000 of the XenoServer's own time. A sixth of it is for connecting. Default 60,000. */
  readonly deadlineMs?: number;
}

/** A task was begun for a domain. */
export interface Begun {
  readonly task: string;
  readonly domain: string;
}

import { parseEvents } from "./event-stream.ts";
import { consoleProtocol } from "./schemas.ts";

const waitMs = 30_000;

export class XenodClient {
  readonly #client: JsonClient;
  readonly #name: string;
  #requests = 0;
  #bytes = 0;

  constructor({ endpoint, name, patienceMs = 3_000, deadlineMs = 2 * waitMs }: XenodClientOptions) {
    this.#name = name;
    this.#client = new JsonClient({
      endpoint,
      server: `XenoServer ${name}`,
      hint: "start it: xeno server run; it may also be busy, or its log say more",
      patienceMs,
      deadlineMs,
      connectTimeoutMs: deadlineMs / 6,
      onTraffic: (bytes) => {
        this.#requests++;
        this.#bytes += bytes;
      },
    });
  }

  /** `url`: where it answers on TCP, if it does. */
  status(signal?: AbortSignal): Promise<ServerStatus & { readonly publicKey: string; readonly url?: string }> {
    return this.#client.request({ method: "GET", path: "/v1/status", signal });
  }

  /** Takes no new domains from now on, or takes them again. */
  async setDraining(isDraining: boolean, signal?: AbortSignal): Promise<void> {
    await this.#client.request({ method: "PUT", path: "/v1/draining", body: { isDraining }, signal });
  }

  /** The tree that a URL means now. Throws what a deployment of it would. */
  resolve(url: string, signal?: AbortSignal): Promise<{ readonly tree: string }> {
    return this.#client.request({ method: "GET", path: `/v1/trees?url=${encodeURIComponent(url)}`, signal });
  }

  traffic(signal?: AbortSignal): Promise<Traffic[]> {
    return this.#client.request({ method: "GET", path: "/v1/traffic", signal });
  }

  /** Settles once the deployment is admitted. Sent again with the same id, it is the same deployment. */
  deploy(deployment: Deployment, signal?: AbortSignal): Promise<BegunDeployment> {
    return this.#client.request({ method: "POST", path: "/v1/deployments", body: deployment, signal });
  }

  /** Answers when the task's version is past `seen`, or it has ended, or after `waitMs`. */
  getTask(id: string, { seen = 0, waitMs = 0 } = {}, signal?: AbortSignal): Promise<Task> {
    return this.#client.request({ method: "GET", path: `/v1/tasks/${id}?seen=${seen}&waitMs=${waitMs}`, signal });
  }

  /** Follows a task to its end and returns its result. Rejects with the task's own error when it fails. */
  async waitForTask(id: string, onProgress: (task: Task) => void = () => {}, signal?: AbortSignal): Promise<unknown> {
    let seen = 0;
    for (;;) {
      const task = await this.getTask(id, { seen, waitMs }, signal);
      if (task.version > seen) onProgress(task);
      seen = task.version;
      if (task.state === "done") return task.result;
      if (task.state === "failed")
        throw new XenoError(task.error!.code, task.error!.message, { hint: task.error!.hint });
    }
  }

  /** Begins to precache, or says how far it is. Sent again with the same id, it is the same request. */
  precache(id: string, request: PrecacheRequest, signal?: AbortSignal): Promise<PrecacheStatus> {
    return this.#client.request({ method: "PUT", path: `/v1/precache/${id}`, body: request, signal });
  }

  async cancelPrecache(id: string): Promise<void> {
    await this.#client.request({ method: "DELETE", path: `/v1/precache/${id}` });
  }

  domains(signal?: AbortSignal): Promise<DomainRecord[]> {
    return this.#client.request({ method: "GET", path: "/v1/domains", signal });
  }

  domain(name: string, signal?: AbortSignal): Promise<DomainView> {
    return this.#client.request({ method: "GET", path: `/v1/domains/${name}`, signal });
  }

  /** The end of the console's record. */
  log(name: string, bytes = 65_536, signal?: AbortSignal): Promise<string> {
    return this.#client.request({ method: "GET", path: `/v1/domains/${name}/log?bytes=${bytes}`, signal });
  }

  /** The same of a domain that is still this deployment's. */
  logOf({ name, deployment }: DomainReference, bytes: number): Promise<string> {
    return this.#client.request({
      method: "GET",
      path: `/v1/domains/${name}/log?bytes=${bytes}&deployment=${deployment}`,
    });
  }

  /** Brings a program's tar into a running guest: see xenod/programs. */
  async layProgram({ name, deployment }: DomainReference, id: string, base64: string, signal?: AbortSignal) {
    const body = { deployment, base64 };
    await this.#client.request({ method: "PUT", path: `/v1/domains/${name}/programs/${id}`, body, signal });
  }

  /** All programs that the guest is to know of; how those of them ended that did. */
  assignPrograms(
    { name, deployment }: DomainReference,
    programs: readonly AssignedProgram[],
    signal?: AbortSignal,
  ): Promise<(ProgramOutcome | null)[]> {
    const body = { deployment, programs };
    return this.#client.request({ method: "PUT", path: `/v1/domains/${name}/programs`, body, signal });
  }

  programOutput({ name, deployment }: DomainReference, id: string, bytes: number): Promise<ProgramOutput> {
    const path = `/v1/domains/${name}/programs/${id}/output?bytes=${bytes}&deployment=${deployment}`;
    return this.#client.request({ method: "GET", path });
  }

  /** Boots a domain that ended, from its journal. */
  start(name: string, signal?: AbortSignal): Promise<Begun> {
    return this.#client.request({ method: "POST", path: `/v1/domains/${name}/start`, signal });
  }

  stop(name: string, graceMs?: number, signal?: AbortSignal): Promise<Begun> {
    return this.#client.request({ method: "POST", path: `/v1/domains/${name}/stop`, body: { graceMs }, signal });
  }

  /** What is not said is not limited. The domain's `nextSize` says what waits for its next boot. */
  resize(name: string, size: DeployedSize, signal?: AbortSignal): Promise<DomainRecord> {
    return this.#client.request({ method: "PUT", path: `/v1/domains/${name}/size`, body: size, signal });
  }

  /** Ends the domain at once, or after `graceMs`, and deletes its journal. */
  remove(name: string, graceMs = 0, signal?: AbortSignal): Promise<Begun> {
    return this.#client.request({ method: "DELETE", path: `/v1/domains/${name}?graceMs=${graceMs}`, signal });
  }

  tasks(signal?: AbortSignal): Promise<Task[]> {
    return this.#client.request({ method: "GET", path: "/v1/tasks", signal });
  }

  /** The task ends in some valid state, and says which. Throws `task-uncancellable`. */
  cancelTask(id: string, signal?: AbortSignal): Promise<Task> {
    return this.#client.request({ method: "POST", path: `/v1/tasks/${id}/cancel`, signal });
  }

  /** Everything as it is, then each change, until the signal aborts or the XenoServer goes. */
  async *events(signal: AbortSignal): AsyncGenerator<ServerEvent> {
    yield* parseEvents(await this.#client.stream("/v1/events", signal));
  }

  /** The serial console of a running domain, both ways, one client at a time. */
  openConsole(name: string, signal: AbortSignal): Promise<Duplex> {
    return this.#client.upgrade(`/v1/domains/${name}/console`, consoleProtocol, signal);
  }

  metrics(signal?: AbortSignal): Promise<string> {
    return this.#client.request({ method: "GET", path: "/metrics", signal });
  }

  openApi(signal?: AbortSignal): Promise<Record<string, unknown>> {
    return this.#client.request({ method: "GET", path: "/v1/openapi.json", signal });
  }

  /** Takes a checkpoint, with which the guest ends, or after which it goes on. */
  suspend(name: string, body: { goesOn?: boolean } = {}, signal?: AbortSignal): Promise<Begun> {
    return this.#client.request({ method: "POST", path: `/v1/domains/${name}/suspend`, body, signal });
  }

  /** Resumes the last checkpoint, or the given one; calls a suspend off that is under way. */
  resume(name: string, body: ResumeRequest = {}, signal?: AbortSignal): Promise<Begun> {
    return this.#client.request({ method: "POST", path: `/v1/domains/${name}/resume`, body, signal });
  }

  /** Oldest first. */
  checkpoints(name: string, signal?: AbortSignal): Promise<CheckpointManifest[]> {
    return this.#client.request({ method: "GET", path: `/v1/domains/${name}/checkpoints`, signal });
  }

  /** To XenoStore, signed by the XenoServer's key. */
  publishCheckpoint(name: string, number: number, signal?: AbortSignal): Promise<Begun> {
    return this.#client.request({ method: "POST", path: `/v1/domains/${name}/checkpoints/${number}/publish`, signal });
  }

  /** Resumes what another XenoServer published, as `name`. */
  resumePublished(body: { url: string; name?: string }, signal?: AbortSignal): Promise<Begun> {
    return this.#client.request({ method: "POST", path: "/v1/resumptions", body, signal });
  }

  /** Moves a running domain to another XenoServer. */
  migrate(name: string, body: MigrationRequest, signal?: AbortSignal): Promise<Begun> {
    return this.#client.request({ method: "POST", path: `/v1/domains/${name}/migrate`, body, signal });
  }

  /** The operator's word on a domain in doubt: `run` it here, or `drop` what is here of it. */
  async resolveMigration(name: string, what: "run" | "drop", signal?: AbortSignal): Promise<void> {
    const path = `/v1/domains/${name}/migrate/resolve`;
    await this.#client.request({ method: "POST", path, body: { what }, signal });
  }

  async removeCheckpoint(name: string, number: number, signal?: AbortSignal): Promise<void> {
    await this.#client.request({ method: "DELETE", path: `/v1/domains/${name}/checkpoints/${number}`, signal });
  }

  /** Ends all guests, the file server and Xenod. Settles when the guests and the file server are gone. */
  async shutdown(
    options: { graceMs?: number; remove?: boolean; halt?: boolean } = {},
    signal?: AbortSignal,
  ): Promise<void> {
    const deadlineMs = (options.graceMs ?? 0) + 120_000;
    await this.#client.request({ method: "POST", path: "/v1/shutdown", body: options, deadlineMs, signal });
  }

  /** What this client asked so far. */
  get sent(): Traffic {
    return { from: "client", to: `XenoServer ${this.#name}`, requests: this.#requests, bytes: this.#bytes };
  }

  close(): Promise<void> {
    return this.#client.close();
  }
}
