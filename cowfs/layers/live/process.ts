/**
 * The files of a live layer, in a process of their own.
 *
 * - (P1) Every call settles within its deadline, which counts from when the process is up. A call that does not ends the process: a hung file system may hold its
 *   threads for ever, and what waits behind it would.
 * - (P2) A process that was ended is started again by the next call, after a pause that grows; until then calls are refused at
 *   once. One that does not die (it hangs in the kernel) is left; after a few of them no more are started.
 * - (P3) Calls that run, and those that wait, are bounded.
 */
import { type ChildProcess, fork } from "node:child_process";
import { FileSystemError, XenoError } from "../../errors.ts";
import type {
  LiveAttributes,
  LiveChange,
  LiveContent,
  LiveFiles,
  LiveFound,
  LiveListing,
  LiveObject,
  LivePlace,
} from "./live-files.ts";
import type { LiveAnswer, LiveCall, LiveOpening } from "./protocol.ts";

const program = new URL("program.ts", import.meta.url).pathname;
const maxRunning = 32;
const maxQueued = 4096;
const maxUndead = 4;
const firstPauseMs = 500;
const maxPauseMs = 30_000;
const defaultDeadlineMs = 10_000;
/** Until the program is loaded: on a busy machine that is not the layer's doing. */
const startDeadlineMs = 60_000;

export interface LiveProcessOptions {
  /** For each call, from when it is sent, in ms. Default 10,000. */
  readonly deadlineMs?: number;
}

interface Waiting {
  readonly call: LiveCall;
  readonly signal: AbortSignal;
  readonly resolve: (result: never) => void;
  readonly reject: (error: Error) => void;
  timer: NodeJS.Timeout | undefined;
}

export class LiveProcess implements LiveFiles {
  readonly #opening: LiveOpening;
  readonly #deadlineMs: number;
  readonly #running = new Map<number, Waiting>();
  #queue: Waiting[] = [];
  #child: ChildProcess | undefined;
  #isReady = false;
  #undead = 0;
  #pauseMs = firstPauseMs;
  #notBefore = 0;
  #isClosed = false;
  #lastId = 0;

  constructor(opening: LiveOpening, { deadlineMs = defaultDeadlineMs }: LiveProcessOptions = {}) {
    this.#opening = opening;
    this.#deadlineMs = deadlineMs;
  }

  /** Undefined while none runs. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  root(signal: AbortSignal): Promise<LiveObject> {
    return this.#call("root", [], signal);
  }

  find(directory: LivePlace, name: string, signal: AbortSignal): Promise<LiveFound> {
    return this.#call("find", [directory, name], signal);
  }

  isOpaque(directory: LivePlace, signal: AbortSignal): Promise<boolean> {
    return this.#call("isOpaque", [directory], signal);
  }

  list(directory: LivePlace, signal: AbortSignal): Promise<LiveListing> {
    return this.#call("list", [directory], signal);
  }

  attributes(object: LivePlace, signal: AbortSignal): Promise<LiveAttributes> {
    return this.#call("attributes", [object], signal);
  }

  async read(file: LivePlace, offset: number, length: number, signal: AbortSignal): Promise<LiveContent> {
    const { data, attributes } = await this.#call<LiveContent>("read", [file, offset, length], signal);
    return { data: Buffer.from(data.buffer, data.byteOffset, data.byteLength), attributes };
  }

  readLink(link: LivePlace, signal: AbortSignal): Promise<string> {
    return this.#call("readLink", [link], signal);
  }

  change(change: LiveChange, signal: AbortSignal): Promise<LiveObject | undefined> {
    return this.#call("change", [change], signal);
  }

  /** Ends the process; what waits is refused. */
  close(): void {
    this.#isClosed = true;
    this.#end(new XenoError("layer-closed", "the layer is closed"));
  }

  #call<T>(method: string, args: readonly unknown[], signal: AbortSignal): Promise<T> {
    if (this.#queue.length >= maxQueued)
      return Promise.reject(new XenoError("layer-busy", `${maxQueued} requests wait for ${this.#name} already`));
    const { promise, resolve, reject } = Promise.withResolvers<never>();
    const call = { id: ++this.#lastId, method, args };
    // It goes on in the process, and counts there until it ends: only nobody waits for it any more.
    const cancel = () => reject(signal.reason);
    signal.addEventListener("abort", cancel, { once: true });
    this.#queue.push({ call, signal, resolve, reject, timer: undefined });
    this.#pump();
    return promise.finally(() => signal.removeEventListener("abort", cancel));
  }

  #pump(): void {
    while (this.#queue.length > 0 && this.#running.size < maxRunning) {
      const waiting = this.#queue.shift()!;
      if (waiting.signal.aborted) waiting.reject(waiting.signal.reason);
      else this.#start(waiting);
    }
  }

  #start(waiting: Waiting): void {
    try {
      const child = this.#child ?? this.#startChild();
      this.#running.set(waiting.call.id, waiting);
      this.#limit(waiting);
      child.send(waiting.call, (error) => error !== null && this.#childEnded(child, String(error)));
    } catch (error) {
      waiting.reject(error as Error);
    }
  }

  #limit(waiting: Waiting): void {
    clearTimeout(waiting.timer);
    const milliseconds = this.#isReady ? this.#deadlineMs : startDeadlineMs;
    waiting.timer = setTimeout(() => this.#fail(waiting.call.method, milliseconds), milliseconds);
  }

  #startChild(): ChildProcess {
    if (this.#isClosed) throw new XenoError("layer-closed", `${this.#name} is closed`);
    if (this.#notBefore > performance.now())
      throw new XenoError("layer-unreachable", `${this.#name} did not answer a moment ago`);
    if (this.#undead >= maxUndead)
      throw new XenoError("layer-hung", `${maxUndead} processes hang in ${this.#name}: no more are started`);
    const child = fork(program, [JSON.stringify(this.#opening)], {
      serialization: "advanced",
      execArgv: ["--no-warnings"],
      stdio: ["ignore", "ignore", "inherit", "ipc"],
      env: {},
      cwd: "/",
    });
    this.#child = child;
    this.#isReady = false;
    this.#undead++;
    child.on("message", (answer: LiveAnswer | "ready") => {
      if (child !== this.#child) return;
      if (answer === "ready") this.#ready();
      else this.#answered(answer);
    });
    child.on("error", (error) => this.#childEnded(child, String(error)));
    child.once("exit", (code, signal) => {
      this.#undead--;
      this.#childEnded(child, `its process ended (${signal ?? code})`);
    });
    // It ends with us: nobody need wait for it.
    child.unref();
    child.channel?.unref();
    return child;
  }

  #ready(): void {
    this.#isReady = true;
    for (const waiting of this.#running.values()) this.#limit(waiting);
  }

  #answered(answer: LiveAnswer): void {
    const waiting = this.#running.get(answer.id);
    if (waiting === undefined) return;
    this.#pauseMs = firstPauseMs;
    this.#running.delete(answer.id);
    clearTimeout(waiting.timer);
    if ("failure" in answer) {
      const { errno, code, message } = answer.failure;
      waiting.reject(errno === undefined ? new XenoError(code, message) : new FileSystemError(errno, message));
    } else waiting.resolve(answer.result as never);
    this.#pump();
  }

  /** A deadline has passed (P1). */
  #fail(method: string, milliseconds: number): void {
    this.#pause();
    const what = `${this.#name} did not answer ${method} within ${milliseconds} ms`;
    this.#end(new XenoError("layer-timeout", what, { hint: "it is tried again by itself" }));
  }

  #childEnded(child: ChildProcess, why: string): void {
    if (child !== this.#child) return;
    this.#pause();
    this.#end(new XenoError("layer-unreachable", `${this.#name}: ${why}`));
  }

  #pause(): void {
    this.#notBefore = performance.now() + this.#pauseMs;
    this.#pauseMs = Math.min(maxPauseMs, this.#pauseMs * 2);
  }

  #end(error: XenoError): void {
    const child = this.#child;
    this.#child = undefined;
    const waiting = [...this.#running.values(), ...this.#queue];
    this.#running.clear();
    this.#queue = [];
    for (const { timer, reject } of waiting) {
      clearTimeout(timer);
      reject(error);
    }
    child?.kill("SIGKILL");
  }

  get #name(): string {
    return this.#opening.kind === "directory" ? this.#opening.path : `${this.#opening.host}:${this.#opening.path}`;
  }
}
