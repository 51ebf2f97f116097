/** The worker's side of its channel to the keeper: asks for listening sockets, and ends when told to or when left alone. */
import { XenoError } from "../../cowfs/errors.ts";
import type { ErrorBody } from "../http/json-server.ts";
import type { RawListener } from "../links/listener.ts";
import type { ListenAddress } from "./protocol.ts";

export type KeeperQuestion = { readonly number: number } /** The worker's control socket, and which workers run. */ & (
  | { readonly kind: "control" }
  /** Another worker is to run; one that does is left as it is. */
  | { readonly kind: "start"; readonly worker: number }
  /** The socket of an export: the one that is held, or a new one. */
  | { readonly kind: "listen"; readonly id: string; readonly address: ListenAddress }
  | { readonly kind: "release"; readonly id: string }
  /** Lets go of the sockets of all other exports of this worker: asked once, when it has read which there are. */
  | { readonly kind: "keep"; readonly ids: readonly string[] }
);

export interface KeeperAnswer {
  readonly question: number;
  readonly port?: number;
  readonly workers?: readonly number[];
  readonly error?: ErrorBody;
}

type Answered = { port: number; workers: readonly number[]; handle: RawListener };

/** Longer than the keeper's own deadline for binding. */
const answerDeadlineMs = 30_000;

export class KeeperChannel {
  readonly #waiting = new Map<number, { resolve: (answered: Answered) => void; reject: (error: Error) => void }>();
  #questions = 0;

  constructor(onEnd: () => void) {
    process.on("message", (message: KeeperAnswer | { end: true }, handle: unknown) => {
      if ("end" in message) return onEnd();
      const waiting = this.#waiting.get(message.question);
      if (message.error === undefined) {
        const { port = 0, workers = [] } = message;
        waiting?.resolve({ port, workers, handle: handle as RawListener });
      } else waiting?.reject(new XenoError(message.error.code, message.error.message, { hint: message.error.hint }));
    });
    // (K3) in keeper.ts. What the journals acknowledged is with the operating system already.
    process.on("disconnect", () => process.exit(1));
  }

  control(): Promise<Pick<Answered, "handle" | "workers">> {
    return this.#ask({ kind: "control" });
  }

  async startWorker(worker: number): Promise<void> {
    await this.#ask({ kind: "start", worker });
  }

  listen(id: string, address: ListenAddress): Promise<Answered> {
    return this.#ask({ kind: "listen", id, address });
  }

  async release(id: string): Promise<void> {
    await this.#ask({ kind: "release", id });
  }

  async keep(ids: readonly string[]): Promise<void> {
    await this.#ask({ kind: "keep", ids });
  }

  async #ask(question: Record<string, unknown>): Promise<Answered> {
    const number = ++this.#questions;
    const { promise, resolve, reject } = Promise.withResolvers<Answered>();
    this.#waiting.set(number, { resolve, reject });
    const timer = setTimeout(
      () => reject(new XenoError("keeper-silent", `the keeper did not answer "${question.kind}"`)),
      answerDeadlineMs,
    );
    try {
      process.send!({ number, ...question });
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(number);
    }
  }
}
