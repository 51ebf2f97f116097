/**
 * The exports of all workers, as the first worker answers for them.
 *
 * - (X1) An export is on one worker from its putting, or its preparing, to its removal. The folder that its file is in says which one: so
 *   every later life of any of them knows.
 * - (X2) What the first does not know of, because it was killed while another was at it, it asks the others for before it decides: each
 *   answers once what it has under way of that export is done.
 * - (X3) What opens or closes a journal, or needs it open, runs one after the other, whichever worker does it.
 * - (X4) Of a worker that does not answer, the exports are told as being opened; those of the others are told as they are.
 */
import { XenoError } from "../../cowfs/errors.ts";
import type { Snapshot } from "../../cowfs/journals/snapshots.ts";
import { SerialQueues } from "../serial-queues.ts";
import { listStateFiles, readStateFile } from "../state-file.ts";
import { FileServerClient } from "./client.ts";
import type { ExportServing } from "./export-serving.ts";
import type { ExportTable } from "./export-table.ts";
import { fileServerFiles } from "./files.ts";
import type { KeeperChannel } from "./keeper-channel.ts";
import type {
  ExportPlace,
  ExportPreparation,
  ExportSpecification,
  ExportStatus,
  FileExchange,
  FileServerStatus,
  FileToLay,
  FollowRequest,
  SnapshotFork,
  SnapshotReference,
} from "./protocol.ts";
import type { SavedExport } from "./served-export.ts";

/** Until another worker that is being started answers: a second of processor time, perhaps on a host that is just booting. */
const workerPatienceMs = 90_000;
/** Shorter than whoever asks how all are waits. */
const statusDeadlineMs = 1_500;

export interface SpreadOptions {
  readonly stateDirectory: string;
  /** The first worker's own. */
  readonly table: ExportTable;
  readonly keeper: Pick<KeeperChannel, "startWorker">;
  /** How many workers there may be. */
  readonly workers: number;
}

interface Place {
  readonly worker: number;
  /** None yet of one that is prepared. */
  readonly journal?: string;
  /** As it was last told, by another worker. */
  told?: ExportStatus;
}

export class SpreadExports implements ExportServing {
  readonly #options: SpreadOptions;
  readonly #places = new Map<string, Place>();
  /** Of the workers that were started, without the first. */
  readonly #clients = new Map<number, FileServerClient>();
  readonly #queues = new SerialQueues();

  constructor(options: SpreadOptions) {
    this.#options = options;
  }

  /** `started`: the workers that outlived the last first one. */
  async load(started: readonly number[]): Promise<void> {
    const { stateDirectory, table, workers } = this.#options;
    for (const { id, specification } of table.list())
      this.#places.set(id, { worker: 0, journal: specification.journal });
    for (let worker = 1; worker < workers; worker++)
      for (const [id, told] of await readExports(stateDirectory, worker))
        this.#places.set(id, { worker, journal: told.specification.journal, told });
    const needed = new Set([...started, ...[...this.#places.values()].map(({ worker }) => worker)]);
    for (const worker of needed) await this.#serving(worker);
  }

  prepareExport(id: string, preparation: ExportPreparation): Promise<void> {
    return this.#inQueue(id, async () => {
      const { worker, journal } = (await this.#find(id)) ?? this.#choose(id);
      try {
        await (await this.#serving(worker)).prepareExport(id, preparation);
      } catch (error) {
        if (journal === undefined) this.#places.delete(id);
        throw error;
      }
    });
  }

  putExport(id: string, specification: ExportSpecification): Promise<ExportStatus> {
    const { journal } = specification;
    return this.#inQueue(id, () =>
      this.#inJournalQueue(journal, async () => {
        const { worker, journal: before } = (await this.#find(id)) ?? this.#choose(id);
        try {
          const told = await (await this.#serving(worker)).putExport(id, specification);
          this.#places.set(id, { worker, journal, told });
          return told;
        } catch (error) {
          if (before === undefined) this.#places.delete(id);
          throw error;
        }
      }),
    );
  }

  deleteExport(id: string): Promise<void> {
    return this.#inQueue(id, async () => {
      const { worker, journal } = (await this.#find(id)) ?? { worker: 0, journal: undefined };
      const remove = async () => (await this.#serving(worker)).deleteExport(id);
      await (journal === undefined ? remove() : this.#inJournalQueue(journal, remove));
      this.#places.delete(id);
    });
  }

  async getExport(id: string): Promise<ExportStatus> {
    return (await this.#of(id)).getExport(id);
  }

  async placeExport(id: string): Promise<ExportPlace> {
    const place = await this.#find(id);
    return { isHere: place !== undefined, journal: place?.journal };
  }

  async startEpoch(id: string): Promise<ExportStatus> {
    return (await this.#of(id)).startEpoch(id);
  }

  async layFiles(id: string, files: readonly FileToLay[]): Promise<ExportStatus> {
    return (await this.#of(id)).layFiles(id, files);
  }

  async exchangeFiles(id: string, exchange: FileExchange) {
    return (await this.#of(id)).exchangeFiles(id, exchange);
  }

  async holdExport(id: string) {
    return (await this.#of(id)).holdExport(id);
  }

  async serveExport(id: string): Promise<void> {
    await (await this.#of(id)).serveExport(id);
  }

  takeSnapshot(of: SnapshotReference): Promise<Snapshot> {
    return this.#withJournal(of.journal, (serving) => serving.takeSnapshot(of));
  }

  listSnapshots(journal: string): Promise<Snapshot[]> {
    return this.#withJournal(journal, (serving) => serving.listSnapshots(journal));
  }

  dropSnapshot(of: SnapshotReference): Promise<void> {
    return this.#withJournal(of.journal, (serving) => serving.dropSnapshot(of));
  }

  forkSnapshot(fork: SnapshotFork): Promise<void> {
    return this.#withJournal(fork.journal, (serving) => serving.forkSnapshot(fork));
  }

  follow(request: FollowRequest) {
    return this.#withJournal(request.journal, (serving) => serving.follow(request));
  }

  /** (X4) What all workers tell; of the first, only its exports. */
  async statusOfAll(): Promise<Pick<FileServerStatus, "exports" | "traffic">> {
    const others = await Promise.all([...this.#clients].map(([worker, client]) => this.#askStatus(worker, client)));
    return {
      exports: [...this.#options.table.list(), ...others.flatMap(({ exports }) => exports)],
      traffic: others.flatMap(({ traffic }) => traffic),
    };
  }

  async close(): Promise<void> {
    for (const client of this.#clients.values()) await client.close();
  }

  async #askStatus(worker: number, client: FileServerClient): Promise<Pick<FileServerStatus, "exports" | "traffic">> {
    try {
      const status = await client.status(AbortSignal.timeout(statusDeadlineMs));
      const told = new Map(status.exports.map((each) => [each.id, each]));
      for (const [id, place] of this.#places)
        if (place.worker === worker && place.journal !== undefined) {
          place.told = told.get(id);
          // Removed while the first was away, or so new that it is found again (X2).
          if (place.told === undefined) this.#places.delete(id);
        }
      return status;
    } catch {
      const told = [...this.#places.values()].flatMap((place) => (place.worker === worker ? (place.told ?? []) : []));
      return { exports: told.map((status) => ({ ...status, state: "opening", counters: undefined })), traffic: [] };
    }
  }

  async #of(id: string): Promise<ExportServing> {
    const place = await this.#find(id);
    if (place === undefined) throw new XenoError("export-unknown", `this file server has no export ${id}`);
    return await this.#serving(place.worker);
  }

  #withJournal<T>(journal: string, use: (serving: ExportServing) => Promise<T>): Promise<T> {
    return this.#inJournalQueue(journal, async () => {
      const place = [...this.#places.values()].find((each) => each.journal === journal);
      return use(await this.#serving(place?.worker ?? 0));
    });
  }

  /** (X2) */
  async #find(id: string): Promise<Place | undefined> {
    const known = this.#places.get(id);
    if (known !== undefined) return known;
    const asked = [...this.#clients].map(async ([worker, client]) => ({ worker, ...(await client.placeExport(id)) }));
    const found = (await Promise.all(asked)).find(({ isHere }) => isHere);
    if (found === undefined) return undefined;
    const place = { worker: found.worker, journal: found.journal };
    this.#places.set(id, place);
    return place;
  }

  /** The worker that has the fewest exports, the first of them: it has the place at once, so that no two take it for free. */
  #choose(id: string): Place {
    const counts = new Array<number>(this.#options.workers).fill(0);
    for (const { worker } of this.#places.values()) counts[worker]++;
    const place: Place = { worker: counts.indexOf(Math.min(...counts)) };
    this.#places.set(id, place);
    return place;
  }

  async #serving(worker: number): Promise<ExportServing> {
    const { table, keeper, stateDirectory } = this.#options;
    if (worker === 0) return table;
    const known = this.#clients.get(worker);
    if (known !== undefined) return known;
    const client = new FileServerClient(stateDirectory, workerPatienceMs, worker);
    this.#clients.set(worker, client);
    try {
      await keeper.startWorker(worker);
    } catch (error) {
      this.#clients.delete(worker);
      throw error;
    }
    return client;
  }

  #inQueue<T>(id: string, operation: () => Promise<T>): Promise<T> {
    return this.#queues.run(`export ${id}`, operation);
  }

  /** (X3) */
  #inJournalQueue<T>(journal: string, operation: () => Promise<T>): Promise<T> {
    return this.#queues.run(`journal ${journal}`, operation);
  }
}

/** What another worker has promised to serve. */
async function readExports(stateDirectory: string, worker: number): Promise<Map<string, ExportStatus>> {
  const files = fileServerFiles(stateDirectory, worker);
  const found = new Map<string, ExportStatus>();
  for (const id of await listStateFiles(files.exports, { isOwn: false })) {
    const saved = await readStateFile<SavedExport>(files.exportFile(id), 1).catch(() => undefined);
    if (saved === undefined) continue;
    const { specification, bootEpoch } = saved;
    const nothingYet = { process: 0, port: 0, events: {}, hasInit: false, failures: 0 };
    found.set(id, { id, state: "opening", specification, bootEpoch, ...nothingYet });
  }
  return found;
}
