/**
 * The exports of a worker, and the files from which the next one of its number makes them again.
 *
 * (F1) An export's file is on stable storage before the export is acknowledged, and gone before its removal is.
 */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { XenoError } from "../../cowfs/errors.ts";
import { holdsJournal } from "../../cowfs/journals/identity.ts";
import { Journal } from "../../cowfs/journals/journal.ts";
import type { Snapshot } from "../../cowfs/journals/snapshots.ts";
import { LockTable } from "../../cowfs/nfs/locks/lock-table.ts";
import type { Layers } from "../../templates/layers/open-layers.ts";
import { completeRestack } from "../../templates/overlays/restack-journal.ts";
import { SerialQueues } from "../serial-queues.ts";
import { listStateFiles, readStateFile, removeStateFile, writeStateFile } from "../state-file.ts";
import { BootPull } from "./boot-pull.ts";
import type { ExportServing } from "./export-serving.ts";
import type { fileServerFiles } from "./files.ts";
import { findChanged, followUrl } from "./follow-names.ts";
import type { KeeperChannel } from "./keeper-channel.ts";
import { PreparedExports } from "./prepared-exports.ts";
import type {
  ExportPlace,
  ExportPreparation,
  ExportSpecification,
  ExportStatus,
  FileExchange,
  FileRead,
  FileToLay,
  Followed,
  FollowRequest,
  HeldExport,
  SnapshotFork,
  SnapshotReference,
} from "./protocol.ts";
import { type ExportContext, type SavedEvents, type SavedExport, ServedExport } from "./served-export.ts";

const maxExports = 1024;
/** Shorter than its client waits. */
const followDeadlineMs = 540_000;
const prepareDeadlineMs = 100_000;

export interface ExportTableOptions {
  readonly files: ReturnType<typeof fileServerFiles>;
  readonly layers: Pick<Layers, "open" | "openLive" | "traces" | "resolveUrl">;
  readonly keeper: Pick<KeeperChannel, "listen" | "release" | "keep">;
  /** Files of locks whose exports came here: they are taken over, and gone. */
  readonly adoptedLocks?: readonly string[];
  /** Caps what is brought after a guest's boot. */
  readonly ioErrorAfterMs?: number;
  pace?(bytes: number, signal: AbortSignal): Promise<void>;
  log(text: string): void;
}

export class ExportTable implements ExportServing {
  readonly #options: ExportTableOptions;
  readonly #exports = new Map<string, ServedExport>();
  readonly #prepared = new PreparedExports();
  readonly #queues = new SerialQueues();
  /** One for all exports: guests may share live layers. */
  readonly #locks: LockTable;

  constructor(options: ExportTableOptions) {
    this.#options = options;
    this.#locks = new LockTable(options.files.locks, options.adoptedLocks);
  }

  /** Takes up the exports of the worker before. They open by themselves. */
  async load(): Promise<void> {
    const { files, keeper, log } = this.#options;
    for (const id of await listStateFiles(files.exports)) {
      const saved = await readStateFile<SavedExport>(files.exportFile(id), 1).catch((error) => log(String(error)));
      if (saved === undefined) continue;
      const events = await readStateFile<SavedEvents>(files.eventsFile(id), 1).catch(() => undefined);
      const served = new ServedExport(id, saved, events?.events ?? {}, this.#contextOf(id));
      this.#exports.set(id, served);
      served.keepOpen();
    }
    await keeper.keep([...this.#exports.keys()]);
    for (const file of await readdir(files.exports).catch(() => []))
      if (file.endsWith(".events") && !this.#exports.has(file.slice(0, -".events".length)))
        await rm(join(files.exports, file), { force: true });
  }

  /** What putting it will take is done now, unless it is there. */
  prepareExport(id: string, preparation: ExportPreparation): Promise<void> {
    return this.#queues.run(id, async () => {
      if (this.#exports.has(id)) return;
      const signal = AbortSignal.timeout(prepareDeadlineMs);
      await this.#prepared.prepare(id, preparation, this.#contextOf(id), signal);
    });
  }

  /** Throws `export-conflict` where another export has the id; the same one again changes nothing. */
  putExport(id: string, specification: ExportSpecification): Promise<ExportStatus> {
    return this.#queues.run(id, async () => {
      const known = this.#exports.get(id);
      if (known !== undefined) {
        if (isDeepStrictEqual(known.specification, specification)) return known.status;
        throw new XenoError("export-conflict", `export ${id} serves something else already`, {
          hint: "remove it first",
        });
      }
      if (this.#exports.size >= maxExports)
        throw new XenoError("exports-full", `this file server has its ${maxExports} exports`);
      const saved: SavedExport = { format: 1, specification, bootEpoch: specification.bootEpoch ?? 0 };
      const served = new ServedExport(id, saved, {}, this.#contextOf(id));
      await this.#queueOf(specification.journal, () => served.open()).finally(() => this.#prepared.release(id));
      try {
        await writeStateFile(this.#options.files.exportFile(id), saved);
      } catch (error) {
        await this.#close(served);
        throw error;
      }
      this.#exports.set(id, served);
      return served.status;
    });
  }

  /** Missing is fine. */
  deleteExport(id: string): Promise<void> {
    return this.#queues.run(id, async () => {
      const served = this.#exports.get(id);
      if (served === undefined) {
        await this.#prepared.release(id);
        return await this.#options.keeper.release(id);
      }
      await removeStateFile(this.#options.files.exportFile(id));
      this.#exports.delete(id);
      await this.#close(served);
    });
  }

  /** Notes that the guest was reset. */
  startEpoch(id: string): Promise<ExportStatus> {
    return this.#queues.run(id, async () => {
      const served = this.#find(id);
      await this.#save(served, { bootEpoch: served.bootEpoch + 1 });
      served.startEpoch(served.bootEpoch + 1);
      return served.status;
    });
  }

  /** Lays files over the root of a guest that has not run yet. */
  layFiles(id: string, files: readonly FileToLay[]): Promise<ExportStatus> {
    return this.#queues.run(id, async () => {
      const served = this.#find(id);
      await served.layFiles(files);
      return served.status;
    });
  }

  /** With the root of a guest that runs. */
  exchangeFiles(id: string, exchange: FileExchange): Promise<{ read: (FileRead | null)[] }> {
    return this.#queues.run(id, () => this.#find(id).exchangeFiles(exchange));
  }

  /** Serves nobody until `serveExport`. Held already, it tells which connections were cut then. */
  holdExport(id: string): Promise<HeldExport> {
    return this.#queues.run(id, async () => {
      const served = this.#find(id);
      const held = served.held ?? { guestPorts: served.guestPorts };
      // (F1): a worker that is killed from here on cuts the connections too.
      await this.#save(served, { held });
      served.hold(held);
      return held;
    });
  }

  serveExport(id: string): Promise<void> {
    return this.#queues.run(id, async () => {
      const served = this.#find(id);
      await this.#save(served, { held: undefined });
      served.serveAgain();
    });
  }

  #save({ id, specification, bootEpoch, held }: ServedExport, change: Partial<SavedExport>): Promise<void> {
    const saved: SavedExport = { format: 1, specification, bootEpoch, held, ...change };
    return writeStateFile(this.#options.files.exportFile(id), saved);
  }

  async getExport(id: string): Promise<ExportStatus> {
    return this.#find(id).status;
  }

  /** Once what is under way of that export is done. */
  placeExport(id: string): Promise<ExportPlace> {
    return this.#queues.run(id, async () => {
      const journal = this.#exports.get(id)?.specification.journal;
      return { isHere: journal !== undefined || this.#prepared.has(id), journal };
    });
  }

  list(): ExportStatus[] {
    return [...this.#exports.values()].map((served) => served.status);
  }

  /**
   * Runs `use` with the journal in a directory: that of the export which has it open, or else opened for this time. Rejects
   * with `journal-unknown`, with `journal-busy` while its export is being opened again, or with what opening it rejects with.
   */
  #useJournal<T>(directory: string, use: (journal: Journal) => Promise<T>): Promise<T> {
    return this.#queueOf(directory, async () => {
      const served = [...this.#exports.values()].find(({ specification }) => specification.journal === directory);
      if (served !== undefined) {
        if (served.journal !== undefined) return use(served.journal);
        throw new XenoError("journal-busy", `export ${served.id}, which has the journal ${directory}, is not open`, {
          hint: "see its status; try again when it serves",
        });
      }
      if (!holdsJournal(directory)) throw new XenoError("journal-unknown", `there is no journal in ${directory}`);
      const journal = Journal.open(directory);
      try {
        return await use(journal);
      } finally {
        await journal.close();
      }
    });
  }

  takeSnapshot({ journal, name }: SnapshotReference): Promise<Snapshot> {
    return this.#useJournal(
      journal,
      async ({ snapshots }) => snapshots.list().find((each) => each.name === name) ?? (await snapshots.take(name)),
    );
  }

  listSnapshots(journal: string): Promise<Snapshot[]> {
    return this.#useJournal(journal, async ({ snapshots }) => snapshots.list());
  }

  dropSnapshot({ journal, name }: SnapshotReference): Promise<void> {
    return this.#useJournal(journal, async ({ snapshots }) => {
      if (snapshots.list().some((each) => each.name === name)) await snapshots.drop(name);
    });
  }

  forkSnapshot({ journal, name, fork, lineage }: SnapshotFork): Promise<void> {
    return this.#useJournal(journal, ({ snapshots }) => snapshots.fork(name, fork, lineage));
  }

  /** Lays a journal over what its names mean now. Rejects with `journal-busy` while an export has it. */
  async follow({ journal, url, lookOnly = false }: FollowRequest): Promise<Followed> {
    const { layers } = this.#options;
    const signal = AbortSignal.timeout(followDeadlineMs);
    await this.#queueOf(journal, async () => {
      if (!this.#serves(journal)) await completeRestack(journal);
    });
    if (!holdsJournal(journal)) return { isChanged: false };
    const isChanged = await this.#useJournal(journal, ({ state }) =>
      findChanged(layers, [...state.slots.values()], signal),
    );
    if (!isChanged || lookOnly) return { isChanged };
    return await this.#queueOf(journal, async () => {
      if (this.#serves(journal))
        throw new XenoError("journal-busy", `an export has the journal ${journal} open`, {
          hint: "end its guest first",
        });
      return { isChanged, tree: await followUrl(layers, journal, url, signal) };
    });
  }

  #serves(journal: string): boolean {
    return [...this.#exports.values()].some(({ specification }) => specification.journal === journal);
  }

  /** What opens or closes a journal, or needs it open, runs one after the other. */
  #queueOf<T>(journal: string, operation: () => Promise<T>): Promise<T> {
    return this.#queues.run(`journal ${journal}`, operation);
  }

  /** Closes everything cleanly; the files stay. */
  async close(): Promise<void> {
    await Promise.all([...this.#exports.values()].map((served) => served.close()));
  }

  async #close(served: ServedExport): Promise<void> {
    await this.#queueOf(served.specification.journal, async () => {
      served.releaseLocks();
      await served.close();
    });
    await this.#options.keeper.release(served.id);
    await rm(this.#options.files.eventsFile(served.id), { force: true });
  }

  #find(id: string): ServedExport {
    const served = this.#exports.get(id);
    if (served !== undefined) return served;
    throw new XenoError("export-unknown", `this file server has no export ${id}`);
  }

  #contextOf(id: string): ExportContext {
    const { layers, keeper, files, pace, ioErrorAfterMs, log } = this.#options;
    return {
      beginEpoch: async () => void (await this.startEpoch(id)),
      openLayer: (url, pinned, signal) => layers.open(url, pinned, signal),
      openLive: (url) => layers.openLive(url),
      locks: this.#locks,
      ioErrorAfterMs,
      pullBoot: (isBoot) =>
        new BootPull({ traces: layers.traces, isBoot, pace, log: (text) => log(`export ${id}: ${text}`) }),
      listen: (of, address) => keeper.listen(of, address),
      eventsFile: files.eventsFile(id),
      log,
    };
  }
}
