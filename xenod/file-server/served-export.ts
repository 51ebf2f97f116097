/**
 * An export that is kept open: over the socket that the keeper holds, from its first opening to its removal.
 *
 * A file system that fails closed is opened anew from its journal, after a pause that grows; its clients' connections are cut
 * meanwhile, they connect again and repeat, and get the answers that were recorded.
 */
import net from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { XenoError } from "../../cowfs/errors.ts";
import type { Journal } from "../../cowfs/journals/journal.ts";
import type { LockTable } from "../../cowfs/nfs/locks/lock-table.ts";
import { isLiveUrl } from "../../templates/layers/live-policy.ts";
import type { OpenedSource } from "../../templates/layers/live-sources.ts";
import type { OpenedTree } from "../../xenostore/pull/open-stored-tree.ts";
import { describeError, type ErrorBody } from "../http/json-server.ts";
import { writeStateFile } from "../state-file.ts";
import type { BootPull } from "./boot-pull.ts";
import { exchangeFiles } from "./exchange-files.ts";
import { layFiles } from "./lay-files.ts";
import { locateFile } from "./locate-file.ts";
import { defaultInit, type OpenedExport, openExport } from "./open-export.ts";
import type {
  ExportEvents,
  ExportSpecification,
  ExportStatus,
  FileExchange,
  FileRead,
  FileToLay,
  LayerTree,
  ListenAddress,
} from "./protocol.ts";
import { tellSeldom } from "./seldom.ts";

/** `<state>/exports/<id>.json` */
export interface SavedExport {
  readonly format: 1;
  readonly specification: ExportSpecification;
  readonly bootEpoch: number;
  /** Nobody is served: the domain is being saved. With the guest's ports of the connections that were cut. */
  readonly held?: { readonly guestPorts: readonly number[] };
}

/** `<state>/exports/<id>.events`: may be lost with the host. */
export interface SavedEvents {
  readonly format: 1;
  readonly events: ExportEvents;
}

export interface ExportContext {
  /** Opens a layer; it is closed with the export. */
  openLayer(url: string, pinned: string | undefined, signal: AbortSignal): Promise<OpenedTree>;
  openLive(url: string): Promise<OpenedSource>;
  readonly locks?: LockTable;
  /** What brings the export's layers for its guest's boot, or for a guest that runs. */
  pullBoot(isBoot: boolean): BootPull;
  /** As in PullSettings. */
  readonly ioErrorAfterMs?: number;
  listen(id: string, address: ListenAddress): Promise<{ handle: unknown; port: number }>;
  readonly eventsFile: string;
  /** Makes the next boot epoch durable, and calls `startEpoch` with it. */
  beginEpoch(): Promise<void>;
  log(text: string): void;
}

const exchangeMs = 20_000;
const firstPauseMs = 100;
const maxPauseMs = 5_000;

export class ServedExport {
  readonly id: string;
  readonly specification: ExportSpecification;
  bootEpoch: number;
  held: SavedExport["held"];

  readonly #context: ExportContext;
  readonly #events: ExportEvents;
  readonly #ended = new AbortController();
  readonly #server = net.createServer({ noDelay: true });
  #state: ExportStatus["state"] = "opening";
  #error: ErrorBody | undefined;
  #opened: OpenedExport | undefined;
  #layers: { close(): Promise<void> }[] = [];
  #pull: BootPull | undefined;
  #port = 0;
  /** Where a worker before may have served it, or this one before it failed. */
  #isEpochUsed = true;
  #failures = 0;
  #recovering: Promise<void> | undefined;
  #saving: Promise<void> = Promise.resolve();

  constructor(id: string, saved: SavedExport, events: ExportEvents, context: ExportContext) {
    this.id = id;
    this.specification = saved.specification;
    this.bootEpoch = saved.bootEpoch;
    this.held = saved.held;
    this.#events = { ...events };
    this.#context = context;
    this.#server.on("error", (error) => context.log(`export ${id}: ${error.message}`));
  }

  /** Opens it and serves it. Rejects when that cannot be; then nothing of it stays open here. */
  async open(): Promise<void> {
    this.#isEpochUsed = false;
    try {
      await this.#openFileSystem();
      this.#isEpochUsed = true;
      await this.#listen();
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Opens it and serves it, however often that takes: for an export that was acknowledged. */
  keepOpen(): void {
    this.#recovering ??= this.#recover().finally(() => {
      this.#recovering = undefined;
    });
  }

  /** Of a guest that does not come back. Else its locks are still its own when it is served again. */
  releaseLocks(): void {
    this.#opened?.exported.releaseLocks();
  }

  async close(): Promise<void> {
    this.#state = "closed";
    this.#ended.abort();
    this.#server.close();
    await this.#recovering?.catch(() => {});
    await this.#closeFileSystem();
    await this.#saving;
  }

  startEpoch(bootEpoch: number): void {
    this.bootEpoch = bootEpoch;
    this.#opened?.exported.startEpoch(bootEpoch);
  }

  /** The guest's ports of the connections that there are. */
  get guestPorts(): number[] {
    return (this.#opened?.exported.peers ?? []).map(({ port }) => port);
  }

  /**
   * Resets every connection, drops what waits, and serves nobody. What was answered before is in the journal, which stays open; what
   * was executed and not answered is too, with its answer.
   */
  hold(held: NonNullable<SavedExport["held"]>): void {
    this.held = held;
    this.#opened?.exported.close();
  }

  serveAgain(): void {
    this.held = undefined;
    if (this.#opened?.exported.isClosed) this.#opened.exportAgain(this.bootEpoch).serve(this.#server);
  }

  /** While it is open. */
  get journal(): Journal | undefined {
    return this.#opened?.union.core.journal;
  }

  async layFiles(files: readonly FileToLay[]): Promise<void> {
    const { union, init } = this.#requireOpened();
    await layFiles(union, files, this.#ended.signal);
    // Where one of them is the init program itself, the first read of that one is to be told.
    if ((await locateFile(union, this.specification.initPath ?? defaultInit, this.#ended.signal)) === init) return;
    this.keepOpen();
    await this.#recovering;
  }

  /** What is not here yet of a layer is waited for within a bound, as others wait for this: then it is `export-busy`. */
  async exchangeFiles(exchange: FileExchange): Promise<{ read: (FileRead | null)[] }> {
    const { union } = this.#requireOpened();
    const deadline = AbortSignal.timeout(exchangeMs);
    try {
      return await exchangeFiles(union, exchange, AbortSignal.any([this.#ended.signal, deadline]));
    } catch (cause) {
      if (!deadline.aborted || cause instanceof XenoError) throw cause;
      const hint = "is its store reached? ask again in a moment";
      throw new XenoError("export-busy", `export ${this.id} waits for a layer`, { hint, cause });
    }
  }

  #requireOpened(): OpenedExport {
    if (this.#opened !== undefined) return this.#opened;
    throw new XenoError("export-busy", `export ${this.id} is ${this.#state}`, { hint: "ask again in a moment" });
  }

  get status(): ExportStatus {
    const { checkpointFailure, damagedFiles = [] } = this.journal ?? {};
    return {
      id: this.id,
      process: process.pid,
      state: this.#state === "serving" && this.held !== undefined ? "held" : this.#state,
      specification: this.specification,
      port: this.#port,
      bootEpoch: this.bootEpoch,
      events: this.#events,
      layers: this.#opened && listLayers(this.#opened.union.core.journal),
      hasInit: this.#opened?.init !== undefined,
      failures: this.#failures,
      checkpointFailure: checkpointFailure === undefined ? undefined : String(checkpointFailure),
      damagedFiles: damagedFiles.length === 0 ? undefined : damagedFiles,
      boot: this.#pull?.reads,
      error: this.#error,
      counters: this.#opened?.exported.counters,
    };
  }

  async #recover(): Promise<void> {
    let pauseMs = firstPauseMs;
    while (!this.#ended.signal.aborted) {
      try {
        await this.#closeFileSystem();
        await this.#openFileSystem();
        if (!this.#server.listening) await this.#listen();
        return;
      } catch (error) {
        if (this.#ended.signal.aborted) return;
        this.#state = "failed";
        this.#error = describeError(error);
        this.#context.log(`export ${this.id}: ${error}; opening it again in ${pauseMs} ms`);
      }
      await delay(pauseMs, undefined, { signal: this.#ended.signal }).catch(() => {});
      pauseMs = Math.min(maxPauseMs, pauseMs * 2);
    }
  }

  async #openFileSystem(): Promise<void> {
    const { url, tree, journal, quotaBytes, requirePrivilegedPort, initPath, unsafeAsync } = this.specification;
    const tell = tellSeldom((text) => this.#context.log(text));
    const pull = this.#context.pullBoot(this.#events.init === undefined);
    this.#pull = pull;
    const opened = await openExport({
      url,
      journal,
      quotaBytes,
      requirePrivilegedPort,
      initPath,
      unsafeAsync,
      ioErrorAfterMs: this.#context.ioErrorAfterMs,
      bootEpoch: this.bootEpoch,
      locks: this.#context.locks,
      lives: { isUsed: this.#isEpochUsed, begin: () => this.#context.beginEpoch() },
      resolve: async (layer, pinned, signal) => {
        if (isLiveUrl(layer)) {
          const live = await this.#context.openLive(layer);
          this.#layers.push(live);
          return live.source;
        }
        const known = pinned ?? (layer === url ? tree : undefined);
        const layerOpened = await this.#context.openLayer(layer, known, signal);
        this.#layers.push(layerOpened);
        return pull.add(layerOpened);
      },
      signal: this.#ended.signal,
      onLayers: () => this.#note("layers"),
      onMount: () => this.#note("mounted"),
      onInit: () => {
        pull.noteInit();
        this.#note("init");
      },
      onTrouble: (what, error) => tell(`export ${this.id}: ${what}: ${error}`),
      onFailed: (error) => {
        this.#failures++;
        this.#state = "failed";
        this.#error = describeError(error);
        this.#context.log(`export ${this.id}: failed: ${error}`);
        setImmediate(() => this.keepOpen());
      },
    });
    if (this.#ended.signal.aborted) {
      await opened.close();
      this.#ended.signal.throwIfAborted();
    }
    this.#opened = opened;
    opened.exported.serve(this.#server);
    if (this.held !== undefined) opened.exported.close();
    this.#note("opened");
    this.#error = undefined;
    if (this.#server.listening) this.#state = "serving";
  }

  async #closeFileSystem(): Promise<void> {
    const log = (error: unknown) => this.#context.log(`export ${this.id}: closing: ${error}`);
    await this.#opened?.close().catch(log);
    this.#opened = undefined;
    await this.#pull?.close();
    for (const layer of this.#layers.splice(0)) await layer.close().catch(log);
  }

  async #listen(): Promise<void> {
    const { handle, port } = await this.#context.listen(this.id, this.specification.listen);
    this.#ended.signal.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(handle as never, resolve);
    });
    this.#port = port;
    this.#state = "serving";
    this.#note("listening");
  }

  /** Records when something first happened. */
  #note(event: keyof ExportEvents): void {
    if (this.#events[event] !== undefined) return;
    this.#events[event] = Date.now();
    const saved: SavedEvents = { format: 1, events: { ...this.#events } };
    this.#saving = this.#saving
      .then(() => writeStateFile(this.#context.eventsFile, saved, false))
      .catch((error) => this.#context.log(`export ${this.id}: ${error}`));
  }
}

function listLayers(journal: Journal): LayerTree[] {
  const trees = [...journal.state.slots.values()].filter(({ url }) => !isLiveUrl(url));
  return trees.map(({ url, identity }) => ({ url, tree: identity }));
}
