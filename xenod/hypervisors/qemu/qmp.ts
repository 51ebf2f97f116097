/**
 * A client of QEMU's machine protocol (QMP; docs/interop/qmp-spec.txt in QEMU): commands with ids, and events.
 *
 * QEMU serves one client at a time; the greeting of a second one waits until the first has gone, so connecting has a deadline.
 * What comes in is bounded: a guest may have taken its QEMU over.
 */
import { connect, type Socket } from "node:net";
import { XenoError } from "../../../cowfs/errors.ts";

export interface QmpEvent {
  readonly event: string;
  readonly data?: Record<string, unknown>;
}

interface QmpMessage extends Partial<QmpEvent> {
  readonly QMP?: unknown;
  readonly id?: number;
  readonly return?: unknown;
  readonly error?: { readonly class: string; readonly desc: string };
}

/** The longest line taken; QEMU's answers to our commands have at most a few KiB. */
const maxLineBytes = 1024 * 1024;
const connectDeadlineMs = 5_000;
/** A command is answered by QEMU's main loop, which a busy disk or host can hold up. */
const commandDeadlineMs = 20_000;

export class QmpClient {
  readonly #socket: Socket;
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  readonly #closed: Promise<void>;
  #pending = "";
  #nextId = 1;

  /** Connects to the socket and takes control. Rejects with qmp-busy when another client has it. */
  static async connect(path: string, deadlineMs = connectDeadlineMs): Promise<QmpClient> {
    const socket = connect(path);
    const client = new QmpClient(socket);
    try {
      await client.#expect(0, "the greeting", deadlineMs, () => {});
      await client.execute("qmp_capabilities", undefined, deadlineMs);
      return client;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  private constructor(socket: Socket) {
    this.#socket = socket.setEncoding("utf8");
    socket.on("data", (text: unknown) => this.#receive(text as string));
    socket.on("error", (cause) => this.#fail(cause));
    this.#closed = new Promise((resolve) => {
      socket.on("close", () => {
        this.#fail(undefined);
        resolve();
      });
    });
  }

  /** Runs a command; returns its result. Rejects with qmp-refused when QEMU answers with an error. */
  async execute(name: string, options?: Record<string, unknown>, deadlineMs = commandDeadlineMs): Promise<unknown> {
    const id = this.#nextId++;
    return this.#expect(id, name, deadlineMs, () => {
      this.#socket.write(`${JSON.stringify({ execute: name, arguments: options, id })}\n`);
    });
  }

  onEvent(listener: (event: QmpEvent) => void): void {
    this.#listeners.add(listener);
  }

  get isClosed(): boolean {
    return this.#socket.destroyed;
  }

  /** Settles when the connection has ended. */
  closed(): Promise<void> {
    return this.#closed;
  }

  close(): void {
    this.#socket.destroy();
  }

  /** Whether this connection keeps the process running. */
  unref(): void {
    this.#socket.unref();
  }

  async #expect(id: number, what: string, deadlineMs: number, send: () => void): Promise<unknown> {
    if (this.#socket.destroyed) throw disconnected(undefined);
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#waiting.set(id, { resolve, reject });
    const timer = setTimeout(() => {
      const hint =
        id === 0
          ? "another program holds this domain's control socket; end it"
          : "the host may be overloaded; try again";
      const code = id === 0 ? "qmp-busy" : "qmp-timeout";
      reject(new XenoError(code, `QEMU did not answer ${what} within ${deadlineMs} ms`, { hint }));
    }, deadlineMs);
    try {
      send();
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }

  #receive(text: string): void {
    const lines = (this.#pending + text).split("\n");
    this.#pending = lines.pop()!;
    if (this.#pending.length > maxLineBytes) return this.#reject("a line without an end");
    for (const line of lines) {
      if (line.trim() === "") continue;
      try {
        this.#dispatch(JSON.parse(line) as QmpMessage);
      } catch {
        return this.#reject("what is not JSON");
      }
    }
  }

  #dispatch(message: QmpMessage): void {
    if (message.event !== undefined) {
      for (const listener of this.#listeners) listener({ event: message.event, data: message.data });
      return;
    }
    const waiting = this.#waiting.get(message.QMP === undefined ? (message.id ?? -1) : 0);
    if (message.error === undefined) waiting?.resolve(message.return);
    else waiting?.reject(new XenoError("qmp-refused", `QEMU refused: ${message.error.desc}`));
  }

  #reject(what: string): void {
    this.#socket.destroy(
      new XenoError("qmp-damaged", `QEMU sent ${what}`, { hint: "end this domain: it may be hostile" }),
    );
  }

  #fail(cause: Error | undefined): void {
    for (const { reject } of this.#waiting.values()) reject(disconnected(cause));
    this.#waiting.clear();
  }
}

function disconnected(cause: Error | undefined): XenoError {
  return new XenoError("qmp-disconnected", `no connection to QEMU${cause ? `: ${cause.message}` : ""}`, { cause });
}
