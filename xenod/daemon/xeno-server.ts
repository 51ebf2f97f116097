/**
 * Xenod: the daemon of one XenoServer. Guests, file server and Xenod can each be killed without the others.
 *
 * Every operation on a domain runs in that domain's queue; `deploy`, `stop` and `remove` answer with a task at once.
 */

import { closeSync } from "node:fs";
import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { XenoError } from "../../cowfs/errors.ts";
import { waitForLock } from "../../cowfs/journals/lock.ts";
import { type Layers, openLayers } from "../../templates/layers/open-layers.ts";
import { readTrust } from "../../xenostore/keys/key-ring.ts";
import { meterStore, type Traffic, TrafficMeter } from "../../xenostore/stores/meter.ts";
import type { ObjectStore } from "../../xenostore/stores/object-store.ts";
import { type OpenStoreOptions, openStore } from "../../xenostore/stores/open-store.ts";
import { makePatientPolicy } from "../../xenostore/stores/remote/policy.ts";
import type { CheckpointManifest } from "../checkpoints/manifest.ts";
import { FileServerClient } from "../file-server/client.ts";
import { fileServerFiles } from "../file-server/files.ts";
import type { FileServerStatus, PrecacheRequest } from "../file-server/protocol.ts";
import { findKeeper, startFileServer, stopFileServer } from "../file-server/start.ts";
import { loadServerIdentity, serverKeys } from "../identity/tls-identity.ts";
import { joinNames } from "../links/namespaces.ts";
import { MigrationEnds } from "../migration/ends/migration-ends.ts";
import type { AssignedProgram } from "../programs/assignment.ts";
import { assignPrograms, type DomainReference, layProgram, readProgramOutput } from "../programs/guest-programs.ts";
import { SerialQueues } from "../serial-queues.ts";
import { AddressPool } from "./address-pool.ts";
import { chooseHypervisor } from "./choose-hypervisor.ts";
import type { DeployedSize, Deployment } from "./deployment.ts";
import { type BegunDeployment, Deployments } from "./deployments.ts";
import { type DomainRecord, DomainRecords, requireDeployment } from "./domain-record.ts";
import { Draining } from "./draining.ts";
import { type EndOfAll, endEveryDomain, removeDomain, stopDomain } from "./end-domain.ts";
import { EventFeed } from "./event-feed.ts";
import type { Host } from "./host.ts";
import { KernelImages } from "./kernel-images.ts";
import { Migrations } from "./migrations/migrations.ts";
import type { MigrationRequest } from "./migrations/send-domain.ts";
import type { TargetEnd } from "./migrations/target-end.ts";
import { NeededTrees } from "./needed-trees.ts";
import { type DomainView, describeView, openConsole, readConsoleLog, withoutContents } from "./observe-domain.ts";
import { reconcile } from "./reconcile.ts";
import { resizeDomain } from "./resize-domain.ts";
import { Restarts } from "./restarts.ts";
import { describeServer, type ServerStatus } from "./server-status.ts";
import { StorePins } from "./store-pins.ts";
import { type ResumeRequest, Suspensions } from "./suspensions.ts";
import { type Task, TaskList } from "./task-list.ts";
import type { XenoServerOptions } from "./xeno-server-options.ts";

interface Opened {
  readonly store: ObjectStore;
  /** The same, for who waits longer. */
  readonly exchangeStore: ObjectStore;
  readonly layers: Layers;
  readonly meter: TrafficMeter;
  readonly pins: StorePins;
}

const superviseMs = 1_000;
/** A store that is away does not hold up the end of a XenoServer: its pin then stays, and can be taken away by hand. */
const lastPinMs = 5_000;
/** A Xenod that is just ending lets go within this; so does a child that it was about to start when it was killed. */
const lockPatienceMs = 1_500;

export class XenoServer {
  readonly options: XenoServerOptions;
  readonly tasks: TaskList;
  readonly events = new EventFeed();
  readonly #host: Host;
  readonly #layers: Layers;
  readonly #meter: TrafficMeter;
  readonly #lock: number;
  readonly #started = Date.now();
  readonly #ending = new AbortController();
  readonly #deployments: Deployments;
  readonly #suspensions: Suspensions;
  readonly #ends: MigrationEnds;
  readonly #migrations: Migrations;
  readonly #restarts: Restarts;
  readonly #pins: StorePins;
  readonly #needs: NeededTrees;
  #supervising: Promise<void> | undefined;
  #pinning: Promise<void> | undefined;
  #isShuttingDown = false;

  /** Takes up what an earlier life left, and settles it. Throws `in-use` when another Xenod has this state directory. */
  static async open(options: XenoServerOptions): Promise<XenoServer> {
    joinNames(options.linkPrefix, options.name);
    if (options.namespace !== undefined && options.namespace !== joinNames(options.linkPrefix, options.name))
      throw new XenoError("namespace-invalid", `the namespace of ${options.name} is not ${options.namespace}`, {
        hint: `it is ${joinNames(options.linkPrefix, options.name)}: joinSwitch makes it`,
      });
    await mkdir(options.stateDirectory, { recursive: true });
    await chmod(options.stateDirectory, 0o700);
    const lock = await waitForLock(
      join(options.stateDirectory, "xenod.lock"),
      `the XenoServer ${options.name}`,
      lockPatienceMs,
    );
    try {
      const meter = new TrafficMeter();
      const open = async (opening?: OpenStoreOptions) =>
        meterStore(await openStore(options.store, opening), meter, `XenoServer ${options.name}`, "XenoStore");
      const store = await open();
      const layers = openLayers({
        store,
        trust: readTrust(options.trustDirectory),
        cacheDirectory: fileServerFiles(options.stateDirectory).cache,
        cacheBytes: options.pull?.cacheBytes,
      });
      const pins = new StorePins({
        store,
        file: join(options.stateDirectory, "store-pins.json"),
        name: options.name,
        log: options.log,
      });
      // A checkpoint that is being published has taken its time; nothing of a guest waits for it.
      const exchangeStore = await open({ policy: makePatientPolicy() });
      const server = new XenoServer(options, lock, { exchangeStore, store, layers, meter, pins });
      await server.#start();
      return server;
    } catch (error) {
      closeSync(lock);
      throw error;
    }
  }

  private constructor(options: XenoServerOptions, lock: number, { exchangeStore, store, layers, meter, pins }: Opened) {
    const { stateDirectory, log } = options;
    this.options = options;
    this.#lock = lock;
    this.#layers = layers;
    this.#meter = meter;
    this.#pins = pins;
    this.tasks = new TaskList(
      join(stateDirectory, "tasks"),
      (error) => log.error({ err: error }, "a task's defect"),
      (task) => this.events.tell({ kind: "task", task }),
    );
    this.#host = {
      name: options.name,
      linkPrefix: options.linkPrefix,
      pool: options.namespace === undefined ? undefined : new AddressPool(options.addressPool),
      nameServers: options.nameServers ?? [],
      ports: options.ports ?? {
        isOnHost: false,
        range: options.namespace === undefined ? undefined : { first: 1, last: 65_535 },
      },
      hypervisor: options.hypervisor ?? chooseHypervisor(options.xenGuests),
      fileServer: new FileServerClient(stateDirectory),
      draining: new Draining(options.name, join(stateDirectory, "draining.json")),
      records: new DomainRecords(join(stateDirectory, "domains"), (name, record) => {
        this.#needs.forget();
        this.events.tell(
          record === undefined ? { kind: "domain-removed", name } : { kind: "domain", domain: withoutContents(record) },
        );
      }),
      kernels: new KernelImages(join(stateDirectory, "kernels"), layers, (cacheDirectory) =>
        openLayers({ store, trust: readTrust(options.trustDirectory), cacheDirectory }),
      ),
      domains: new Map(),
      queues: new SerialQueues(),
      onEnd: (record) => this.#restarts.consider(record),
      onReset: (record) => {
        if (record.deployment.follow !== true) return;
        this.#followAtReset(record).catch((error) =>
          log.error({ domain: record.name, err: error }, "it does not follow"),
        );
      },
      log,
      onStep: options.onStep,
    };
    this.#needs = new NeededTrees(this.#host);
    this.#deployments = new Deployments(this.#host, layers, this.tasks, this.#ending.signal);
    this.#ends = new MigrationEnds(join(stateDirectory, "migrations"));
    const identity = () => loadServerIdentity(serverKeys(stateDirectory));
    const patienceMs = options.migrationPatienceMs ?? 30_000;
    const context = { host: this.#host, ends: this.#ends, identity, patienceMs };
    this.#migrations = new Migrations(context, this.tasks, this.#ending.signal);
    const exchange = { store: exchangeStore, layers, keysDirectory: serverKeys(stateDirectory) };
    this.#suspensions = new Suspensions(this.#host, this.tasks, exchange, this.#ending.signal);
    this.#restarts = new Restarts({
      start: (name) => this.#deployments.start(name),
      onFailed: (name, error) => log.error({ domain: name, err: error }, "the domain was not started again"),
      signal: this.#ending.signal,
    });
  }

  async #start(): Promise<void> {
    const { records, kernels } = this.#host;
    const { orphans } = await records.load();
    await Promise.all([
      this.tasks.load(),
      this.#ends.load(),
      this.#host.draining.load(),
      kernels.sweep(),
      this.#startFileServer(),
    ]);
    await reconcile(this.#host, orphans, this.#migrations, this.#ending.signal);
    this.#migrations.remind();
    this.#supervising = this.#superviseFileServer();
  }

  /**
   * Admits a deployment and begins it. Throws at once what speaks against it: `domain-exists`, `memory-short`, a URL that
   * names nothing or is signed by nobody trusted. The same request again gives the same task.
   */
  async deploy(deployment: Deployment): Promise<BegunDeployment> {
    this.#refuseWhileEnding();
    return await this.#deployments.begin(deployment);
  }

  /**
   * Boots a domain that ended, from its journal; one that is suspended, or is just being, runs on instead. Throws
   * `domain-busy`, `memory-short`.
   */
  async start(name: string): Promise<Task> {
    this.#refuseWhileEnding();
    this.#restarts.cancel(name);
    if (this.#suspensions.callOff(name) || this.#host.records.get(name).state === "suspended")
      return await this.#suspensions.resume(name, {});
    return await this.#deployments.start(name);
  }

  /** Ends the guest: by its power button, after `graceMs` hard. Throws `domain-in-doubt`, as `remove`. */
  async stop(name: string, graceMs: number): Promise<Task> {
    return await this.#end("stop", name, (record) => stopDomain(this.#host, record, graceMs, this.#ending.signal));
  }

  /** Ends the guest and deletes its journal and logs. */
  async remove(name: string, graceMs: number): Promise<Task> {
    return await this.#end("remove", name, (record) => removeDomain(this.#host, record, graceMs, this.#ending.signal));
  }

  async #end(kind: "stop" | "remove", name: string, act: (record: DomainRecord) => Promise<void>): Promise<Task> {
    this.#migrations.requireSettled(name);
    return await this.tasks.start({ kind, domain: name }, async () => {
      this.#deployments.cancel(name);
      this.#restarts.cancel(name);
      this.#suspensions.callOff(name);
      this.#migrations.callOff(name);
      await this.#host.queues.run(name, async () => {
        const record = this.#host.records.find(name);
        if (record !== undefined) this.#migrations.requireSettled(name);
        if (record?.state === "receiving") return await this.#migrations.target.abandon(record);
        // A deployment that was taken back has left nothing to end.
        if (record !== undefined) await act(record);
      });
      return { domain: name };
    });
  }

  /** See resize-domain.ts. */
  async resize(name: string, size: DeployedSize): Promise<DomainRecord> {
    this.#migrations.requireSettled(name);
    return withoutContents(await resizeDomain(this.#host, name, size));
  }

  /** What a URL means now. Throws what a deployment of it would. */
  async resolve(url: string): Promise<{ readonly tree: string }> {
    const { tree } = await this.#layers.resolveUrl(url, this.#ending.signal);
    return { tree };
  }

  /** The file server's: it owns the cache. */
  readonly precaching = {
    ask: (id: string, request: PrecacheRequest) => this.#host.fileServer.precache(id, request, this.#ending.signal),
    cancel: (id: string) => this.#host.fileServer.cancelPrecache(id),
  };

  /** A guest that reboots while its names mean something new is ended, and started over that. */
  async #followAtReset(record: DomainRecord): Promise<void> {
    const { fileServer, queues, records } = this.#host;
    const { name, deployment } = record;
    const asked = { journal: records.journalOf(record), url: deployment.overlay, lookOnly: true };
    const { isChanged } = await fileServer.follow(asked, this.#ending.signal);
    if (!isChanged || record.intent !== "running") return;
    await queues.run(name, () => stopDomain(this.#host, record, 0, this.#ending.signal));
    await this.#deployments.start(name);
  }

  /** Takes a checkpoint. Its guest ends with it, or (`goesOn`) runs on. */
  async suspend(name: string, { goesOn = false }: { goesOn?: boolean } = {}): Promise<Task> {
    return await this.#suspensions.suspend(name, !goesOn);
  }

  /** Brings a domain back out of a checkpoint; one that is being suspended runs on. */
  async resume(name: string, request: ResumeRequest = {}): Promise<Task> {
    this.#refuseWhileEnding();
    return await this.#suspensions.resume(name, request);
  }

  /** Publishes a checkpoint (default: the last) to XenoStore, signed by this XenoServer's key. */
  async publishCheckpoint(name: string, number?: number): Promise<Task> {
    return await this.#suspensions.publish(name, number);
  }

  /** Resumes a checkpoint that was published by a XenoServer that is trusted for that. */
  async resumePublished(request: { readonly url: string; readonly name?: string }): Promise<Task> {
    this.#refuseWhileEnding();
    this.#host.draining.refuse();
    return await this.#suspensions.resumePublished(request);
  }

  /** Moves a running domain to another XenoServer. */
  async migrate(name: string, request: MigrationRequest): Promise<Task> {
    return await this.#migrations.migrate(name, request);
  }

  /** The operator's word on a domain in doubt: see Migrations. */
  async resolveMigration(name: string, runs: boolean): Promise<void> {
    await this.#migrations.resolve(name, runs);
  }

  /** Takes no new domains from now on, or takes them again. */
  async setDraining(isDraining: boolean): Promise<void> {
    await this.#host.draining.set(isDraining);
  }

  /** What other XenoServers say that send domains here. */
  get receptions(): TargetEnd {
    return this.#migrations.target;
  }

  async checkpoints(name: string): Promise<CheckpointManifest[]> {
    return await this.#suspensions.checkpoints(name);
  }

  async removeCheckpoint(name: string, number: number): Promise<void> {
    await this.#suspensions.removeCheckpoint(name, number);
  }

  domains(): DomainRecord[] {
    return this.#host.records.list().map(withoutContents);
  }

  domain(name: string): Promise<DomainView> {
    return describeView(this.#host, name);
  }

  /** Of this deployment, where one is named. */
  readConsoleLog(name: string, { bytes, deployment }: { bytes: number; deployment?: string }): Promise<Buffer> {
    if (deployment !== undefined) requireDeployment(this.#host.records.get(name), deployment);
    return readConsoleLog(this.#host, name, bytes);
  }

  /** See guest-programs.ts. */
  readonly programs = {
    lay: (of: DomainReference, id: string, base64: string) => layProgram(this.#host, of, id, base64),
    assign: (of: DomainReference, all: readonly AssignedProgram[]) => assignPrograms(this.#host, of, all),
    readOutput: (of: DomainReference, id: string, bytes: number) => readProgramOutput(this.#host, of, id, bytes),
  };

  openConsole(name: string): Promise<Duplex> {
    return openConsole(this.#host, name);
  }

  async status(): Promise<ServerStatus> {
    return await describeServer(this.#host, this.#started, await this.readFileServerStatus());
  }

  /** Undefined while it does not answer. */
  async readFileServerStatus(): Promise<FileServerStatus | undefined> {
    return await this.#host.fileServer.status(AbortSignal.timeout(2_000)).catch(() => undefined);
  }

  /** Between this XenoServer and its XenoStore, in this life of Xenod and of the file server's worker. */
  async traffic(): Promise<Traffic[]> {
    const sums = new Map<string, Traffic>();
    const { traffic } = await this.#host.fileServer.status();
    for (const row of [...this.#meter.rows(), ...traffic]) {
      const key = JSON.stringify([row.from, row.to]);
      const { requests = 0, bytes = 0 } = sums.get(key) ?? {};
      sums.set(key, { ...row, requests: requests + row.requests, bytes: bytes + row.bytes });
    }
    return [...sums.values()];
  }

  /** Lets go of everything: guests and file server go on, and the next Xenod finds them. */
  async detach(): Promise<void> {
    if (this.#ending.signal.aborted) return;
    this.#ending.abort(new XenoError("interrupted", "Xenod is ending"));
    await this.#supervising;
    await this.#migrations.idle();
    await this.#host.queues.idle();
    await this.tasks.idle();
    for (const domain of this.#host.domains.values()) domain.detach();
    await this.#host.fileServer.close();
    await this.#layers.close();
    closeSync(this.#lock);
  }

  /**
   * Ends every guest, the file server and Xenod: no process, device or namespace of them stays. With `halt`, what ran is still
   * meant to run, as when its host boots anew.
   */
  async shutdown({ graceMs, remove, halt }: EndOfAll): Promise<void> {
    this.#isShuttingDown = true;
    for (const { name } of this.#host.records.list()) {
      this.#deployments.cancel(name);
      this.#restarts.cancel(name);
    }
    const failure = await endEveryDomain(this.#host, { graceMs, remove, halt }, this.#ending.signal);
    await this.#pinning;
    await this.#pinTrees(AbortSignal.timeout(lastPinMs));
    await this.detach();
    await stopFileServer(this.options.stateDirectory);
    if (failure !== undefined) throw failure.error;
  }

  #refuseWhileEnding(): void {
    if (!this.#isShuttingDown) return;
    throw new XenoError("server-ending", `XenoServer ${this.options.name} is being shut down`, {
      hint: "deploy elsewhere, or start it again",
    });
  }

  async #startFileServer(): Promise<void> {
    const { name, stateDirectory, store, trustDirectory, pull, workers, live } = this.options;
    await startFileServer(stateDirectory, { name, store, trustDirectory, pull, workers, live });
  }

  async #pinTrees(signal: AbortSignal): Promise<void> {
    this.#pinning ??= this.#needs
      .list(signal)
      .then((trees) => this.#pins.update(trees, signal))
      .catch((error) => this.options.log.error({ err: error }, "what the domains here need cannot be told"))
      .finally(() => {
        this.#pinning = undefined;
      });
    await this.#pinning;
  }

  /** The keeper sees to the workers; nobody but us sees to the keeper. */
  async #superviseFileServer(): Promise<void> {
    const { signal } = this.#ending;
    while (!signal.aborted) {
      await delay(superviseMs, undefined, { signal }).catch(() => {});
      if (!signal.aborted) void this.#pinTrees(signal);
      if (signal.aborted || (await findKeeper(this.options.stateDirectory)) !== undefined) continue;
      this.options.log.error("the file server's keeper is gone; starting another");
      await this.#startFileServer().catch((error) => this.options.log.error({ err: error }, "no file server"));
    }
  }
}
