/**
 * Requests that were started and not answered: some wait for data (parked), some for stable storage.
 *
 * While one waits, its key is known: a retransmission of it is not started a second time. One that arrives on another
 * connection takes the reply over, for the first connection is dead or will be.
 */
import type { RequestKey } from "../file-system.ts";
import type { Connection } from "./connection.ts";

export class WaitingRequest {
  readonly key: RequestKey | undefined;
  readonly xid: number;
  readonly bytes: number;
  connection: Connection;
  isDone = false;
  timer: NodeJS.Timeout | undefined;
  /** How often it was run so far. */
  rounds = 0;
  #controller: AbortController | undefined;

  /** `bytes`: memory that is kept for it. */
  constructor(connection: Connection, xid: number, key: RequestKey | undefined, bytes: number) {
    this.connection = connection;
    this.xid = xid;
    this.key = key;
    this.bytes = bytes;
  }

  /** Aborts when nobody wants the answer any more. Made on demand: most requests that wait have nothing to give up. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    return this.#controller.signal;
  }

  abort(): void {
    this.#controller?.abort();
  }
}

export class WaitingRequests {
  readonly #all = new Set<WaitingRequest>();
  readonly #byKey = new Map<RequestKey, WaitingRequest>();

  get count(): number {
    return this.#all.size;
  }

  add(request: WaitingRequest): void {
    this.#all.add(request);
    if (request.key !== undefined) this.#byKey.set(request.key, request);
    request.connection.wait(request.bytes);
  }

  /** Takes a request out: it is answered, or nobody wants the answer. */
  finish(request: WaitingRequest): void {
    if (request.isDone) return;
    request.isDone = true;
    clearTimeout(request.timer);
    this.#all.delete(request);
    if (request.key !== undefined && this.#byKey.get(request.key) === request) this.#byKey.delete(request.key);
    request.connection.leave(request.bytes);
  }

  find(key: RequestKey): WaitingRequest | undefined {
    return this.#byKey.get(key);
  }

  /** The reply goes to this connection now. */
  move(request: WaitingRequest, connection: Connection): void {
    if (request.connection === connection) return;
    request.connection.leave(request.bytes);
    request.connection = connection;
    connection.wait(request.bytes);
  }

  /** Drops what a closed connection waited for; what was being brought for it is given up. */
  cancelAll(connection?: Connection): void {
    for (const request of this.#all) {
      if (connection !== undefined && request.connection !== connection) continue;
      this.cancel(request);
    }
  }

  cancel(request: WaitingRequest): void {
    this.finish(request);
    request.abort();
  }
}
