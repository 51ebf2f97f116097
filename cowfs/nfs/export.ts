/**
 * An export: one file system, served to the clients whose connections it is given (NFSv3, MOUNT and portmapper alike).
 *
 * It listens nowhere by itself: which addresses, and in whose network namespace, is the caller's. When the file system
 * fails to flush or to sync, the export is closed for good and says so once; the file system is opened anew, and its
 * clients connect again, send again, and get the answers that were recorded.
 */
import type { Server, Socket } from "node:net";
import { XenoError } from "../errors.ts";
import type { FileId, FileSystem } from "../file-system.ts";
import { Connection, type ConnectionOwner } from "./connection.ts";
import type { NfsCounters } from "./counters.ts";
import { createDirectoryPages } from "./directory-pages.ts";
import { Dispatcher } from "./dispatcher.ts";
import { Handles } from "./handles.ts";
import { maxRecordBytes } from "./limits.ts";
import { Lives, type LivesOptions } from "./lives.ts";
import { LockQueue, type TellGranted } from "./locks/lock-queue.ts";
import { LockTable } from "./locks/lock-table.ts";
import { createMountTable } from "./mount-table.ts";
import type { Peer, Service } from "./procedures/procedure.ts";
import { ReplyPool } from "./reply-pool.ts";
import { Turn } from "./turn.ts";
import { WaitingRequests } from "./waiting.ts";
import type { Memory } from "./xdr.ts";

const defaultJukeboxMs = 15_000;
const defaultMaxConnections = 64;
/** The listener that an export left on a server, so that the next export takes the server over. */
const listeners = new WeakMap<Server, (socket: Socket) => void>();

/** All are optional, and cost nothing where they are absent. */
export interface ExportEvents {
  onMount?(event: { readonly path: string; readonly host: string }): void;
  /** The first read of each fileid in `watchFirstRead`. */
  onFirstRead?(id: FileId): void;
  /** A need could not be brought: which procedure waited for it, and what was said. */
  onFetchFailed?(procedure: string, error: unknown): void;
  /** A defect: the client got SERVERFAULT, or its connection was closed. */
  onInternalError?(what: string, error: unknown): void;
  /** The export closed itself, once: nothing was answered after the failure. */
  onFailed?(error: unknown): void;
}

export interface ExportOptions extends ExportEvents {
  readonly fileSystem: FileSystem;
  /** Counts the guest's resets, 0 to 2^32 - 1: part of what makes a request the same request. */
  readonly bootEpoch: number;
  /** Lets a MNT begin an epoch: a guest may be reset when nobody is there to tell. Without, only `startEpoch` does. */
  readonly lives?: LivesOptions;
  /** What clients mount. Default `/`. */
  readonly exportPath?: string;
  /** Refuse calls from source ports from 1024 up, which any process of a guest may bind. Default true. */
  readonly requirePrivilegedPort?: boolean;
  /** How long a request may wait for data before it is answered JUKEBOX and given up, in ms. Default 15,000. */
  readonly jukeboxMs?: number;
  /**
   * After how long data that cannot be had is NFS3ERR_IO, in ms, counted from the first request that did not get it.
   * Default: never. It is JUKEBOX, so that a guest's root waits for its store to come back instead of failing.
   */
  readonly ioErrorAfterMs?: number;
  /**
   * Changes of names and attributes are answered before they are on stable storage, which RFC 1813 (section 4.8) forbids; they come there
   * with the next COMMIT, and within a second or so. The death of this process loses none of them; a host that loses power may lose
   * the last, all from some moment on. What was written and committed is as safe as ever. As `async` in exports(5). Default false.
   */
  readonly unsafeAsync?: boolean;
  readonly watchFirstRead?: readonly FileId[];
  /** Connections at once; the one that was silent longest makes room. Default 64. */
  readonly maxConnections?: number;
  /** Reply buffers to share with other exports of the process. */
  readonly pool?: ReplyPool;
  /** Locks to share with other exports: their clients may have the same live files. Default: its own. */
  readonly locks?: LockTable;
  /** Tells a client that waits that it has its lock. Default: nobody is told, clients ask again by themselves. */
  readonly tellGranted?: TellGranted;
}

export interface NfsExport {
  readonly counters: NfsCounters;
  readonly isClosed: boolean;
  /** Who is connected. */
  readonly peers: readonly Peer[];
  /** Serves an accepted connection; the socket is the export's from now on. */
  accept(socket: Socket): void;
  /**
   * Serves what a listening server accepts, instead of the export that did before. The server stays the caller's to
   * close; an export that is closed refuses its connections.
   */
  serve(server: Server): void;
  /** The guest was reset: its xids start anew. */
  startEpoch(bootEpoch: number): void;
  /** Lets go of all that its clients have locked: it is not opened again. */
  releaseLocks(): void;
  /** Cuts every connection and forgets what waits: nothing runs on the file system after this. Locks stay. */
  close(): void;
}

export function exportFileSystem(options: ExportOptions): NfsExport {
  return new Export(options);
}

class Export implements NfsExport, ConnectionOwner {
  readonly pool: ReplyPool;
  readonly maxRecordBytes = maxRecordBytes;
  isClosed = false;

  readonly #maxConnections: number;
  readonly #onFailed: ((error: unknown) => void) | undefined;
  readonly #connections = new Set<Connection>();
  readonly #service: Service;
  readonly #waiting = new WaitingRequests();
  readonly #turn: Turn;
  readonly #dispatcher: Dispatcher;
  readonly #lives: Lives | undefined;
  #bytesReceived = 0;
  #bytesSent = 0;

  constructor(options: ExportOptions) {
    this.pool = options.pool ?? new ReplyPool();
    this.#maxConnections = options.maxConnections ?? defaultMaxConnections;
    this.#onFailed = options.onFailed;
    this.#turn = new Turn(options.fileSystem, (error) => this.#fail(error));
    const service = createService(options, (peer) => this.#lives?.needBeforeMount(peer));
    this.#service = service;
    const execution = {
      service,
      turn: this.#turn,
      waiting: this.#waiting,
      jukeboxMs: options.jukeboxMs ?? defaultJukeboxMs,
      ioErrorAfterMs: options.ioErrorAfterMs ?? Number.POSITIVE_INFINITY,
      unsafeAsync: options.unsafeAsync ?? false,
      onFetchFailed: (procedure: string, error: unknown) => options.onFetchFailed?.(procedure, error),
      onInternalError: (what: string, error: unknown) => options.onInternalError?.(what, error),
    };
    this.#dispatcher = new Dispatcher(execution, options.requirePrivilegedPort ?? true);
    this.startEpoch(options.bootEpoch);
    if (options.lives === undefined) return;
    this.#dispatcher.execution.isEpochUsed = options.lives.isUsed;
    this.#lives = new Lives(this.#connections, this.#dispatcher.execution, options.lives);
  }

  accept(socket: Socket): void {
    if (this.isClosed) {
      socket.destroy();
      return;
    }
    let connection: Connection;
    try {
      connection = new Connection(socket, this);
    } catch {
      // The client was gone before we looked.
      socket.destroy();
      return;
    }
    this.#connections.add(connection);
    if (this.#connections.size > this.#maxConnections) this.#closeQuietest();
  }

  serve(server: Server): void {
    const before = listeners.get(server);
    if (before !== undefined) server.off("connection", before);
    // It stays when the export closes: it refuses then, where a socket that nobody took would hang its client.
    const listener = (socket: Socket) => this.accept(socket);
    listeners.set(server, listener);
    server.on("connection", listener);
  }

  startEpoch(bootEpoch: number): void {
    if (!Number.isInteger(bootEpoch) || bootEpoch < 0 || bootEpoch > 0xffffffff) {
      throw new XenoError("BAD_BOOT_EPOCH", `the boot epoch ${bootEpoch} is not an integer from 0 to 2^32 - 1`, {
        hint: "count the guest's resets from 0",
      });
    }
    this.#dispatcher.execution.startEpoch(bootEpoch);
    this.#service.locks.startLife(this.#service.lockScope, bootEpoch);
  }

  releaseLocks(): void {
    this.#service.locks.releaseAll(`${this.#service.lockScope} `);
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#turn.stop();
    for (const connection of this.#connections) connection.reset();
    this.#waiting.cancelAll();
    this.#service.lockQueue?.close();
  }

  get peers(): Peer[] {
    return [...this.#connections].map(({ peer }) => peer);
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  get counters(): NfsCounters {
    const { execution, requests, byProcedure } = this.#dispatcher;
    return {
      requests,
      byProcedure: Object.fromEntries([...byProcedure].map(([procedure, count]) => [procedure.name, count])),
      bytesReceived: this.#bytesReceived,
      bytesSent: this.#bytesSent,
      repeats: execution.repeats,
      parked: execution.parked,
      jukebox: execution.jukebox,
      waiting: this.#waiting.count,
      connections: this.#connections.size,
    };
  }

  #fail(error: unknown): void {
    if (this.isClosed) return;
    this.close();
    this.#onFailed?.(error);
  }

  #closeQuietest(): void {
    let quietest: Connection | undefined;
    for (const connection of this.#connections) {
      if (quietest === undefined || connection.lastActive < quietest.lastActive) quietest = connection;
    }
    quietest?.close();
  }

  serveMessage(connection: Connection, memory: Memory, start: number, end: number): void {
    this.#dispatcher.serve(connection, memory, start, end);
  }

  sendLater(connection: Connection): void {
    this.#turn.add(connection);
  }

  sendEarly(connection: Connection): void {
    this.#turn.sendEarly(connection);
  }

  proceedLater(connection: Connection): void {
    this.#turn.proceedLater(connection);
  }

  received(bytes: number): void {
    this.#bytesReceived += bytes;
  }

  sent(bytes: number): void {
    this.#bytesSent += bytes;
  }

  closed(connection: Connection): void {
    this.#connections.delete(connection);
    this.#waiting.cancelAll(connection);
  }
}

function createService(options: ExportOptions, needBeforeMount: Service["needBeforeMount"]): Service {
  const { fileSystem } = options;
  const locks = options.locks ?? new LockTable();
  const watched = options.onFirstRead === undefined ? [] : (options.watchFirstRead ?? []);
  return {
    fileSystem,
    handles: new Handles(fileSystem.lineage, fileSystem.handleKey),
    fsidHigh: fileSystem.lineage.readUInt32BE(0),
    fsidLow: fileSystem.lineage.readUInt32BE(4),
    exportPath: options.exportPath ?? "/",
    mounts: createMountTable(),
    locks,
    lockQueue: options.tellGranted === undefined ? undefined : new LockQueue(locks, options.tellGranted),
    lockScope: fileSystem.lineage.toString("hex"),
    directoryPages: createDirectoryPages(fileSystem),
    watched: new Set(watched),
    onFirstRead: (id) => options.onFirstRead?.(id),
    onMount: (path, host) => options.onMount?.({ path, host }),
    needBeforeMount,
  };
}
