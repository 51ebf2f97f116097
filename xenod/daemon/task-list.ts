/**
 * Tasks: long operations with an id, progress, and a result or an error. They are remembered across restarts, the last few
 * hundred of them; one that was under way when Xenod died is shown as failed with `interrupted`.
 */
import { randomUUID } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { XenoError } from "../../cowfs/errors.ts";
import { describeError, type ErrorBody } from "../http/json-server.ts";
import { listStateFiles, readStateFile, writeStateFile } from "../state-file.ts";

export interface Task {
  readonly format: 1;
  readonly id: string;
  readonly kind: "deploy" | "start" | "stop" | "remove" | "suspend" | "resume" | "publish" | "migrate";
  readonly domain: string;
  /** The client's own id of the request. */
  readonly request?: string;
  /** Ms since the epoch. */
  readonly created: number;
  state: "running" | "done" | "failed";
  /** Grows with every change: see `wait`. */
  version: number;
  progress: { readonly step: string; readonly at: number }[];
  result?: unknown;
  error?: ErrorBody;
  ended?: number;
}

export interface TaskProgress {
  /** A step was reached; `at` in ms since the epoch, default now. */
  step(name: string, at?: number): void;
  /** Aborts when a client calls the task off: it then ends in some valid state, and says which. */
  readonly signal: AbortSignal;
}

/** A guest whose power button was pressed cannot be told to forget it. */
const cancellable: ReadonlySet<Task["kind"]> = new Set(["deploy", "start", "suspend", "resume", "publish", "migrate"]);
const maxKept = 200;
const maxWaitMs = 60_000;

export class TaskList {
  readonly #directory: string;
  readonly #tasks = new Map<string, Task>();
  readonly #waiting = new Map<string, Set<() => void>>();
  readonly #running = new Set<Promise<void>>();
  readonly #cancels = new Map<string, AbortController>();
  readonly #onDefect: (error: unknown) => void;
  readonly #onChange: (task: Task) => void;

  constructor(directory: string, onDefect: (error: unknown) => void, onChange: (task: Task) => void = () => {}) {
    this.#directory = directory;
    this.#onDefect = onDefect;
    this.#onChange = onChange;
  }

  async load(): Promise<void> {
    const tasks: Task[] = [];
    for (const id of await listStateFiles(this.#directory)) {
      const task = await readStateFile<Task>(this.#file(id), 1).catch(this.#onDefect);
      if (task !== undefined) tasks.push(task as Task);
    }
    for (const task of tasks.sort((a, b) => a.created - b.created)) {
      this.#tasks.set(task.id, task);
      if (task.state !== "running") continue;
      const hint = "xeno ps shows what became of it; ask again with a new request";
      this.#end(task, { error: { code: "interrupted", message: "Xenod ended while this was under way", hint } });
      await this.#save(task);
    }
  }

  /** Starts an operation; the task is on stable storage before it begins. */
  async start(
    task: Pick<Task, "kind" | "domain" | "request">,
    operation: (progress: TaskProgress, id: string) => Promise<unknown>,
    id: string = randomUUID(),
  ): Promise<Task> {
    const started: Task = { format: 1, id, ...task, created: Date.now(), state: "running", version: 1, progress: [] };
    await this.#save(started);
    this.#tasks.set(id, started);
    await this.#trim();
    this.#onChange(started);
    const running = this.#run(started, operation).finally(() => this.#running.delete(running));
    this.#running.add(running);
    return started;
  }

  get(id: string): Task {
    const task = this.#tasks.get(id);
    if (task !== undefined) return task;
    throw new XenoError("task-unknown", `there is no task ${id}`, { hint: `the last ${maxKept} are remembered` });
  }

  list(): Task[] {
    return [...this.#tasks.values()];
  }

  /** Calls a task off. One that has ended stays as it is. Throws `task-uncancellable`. */
  cancel(id: string): Task {
    const task = this.get(id);
    if (task.state === "running" && !cancellable.has(task.kind))
      throw new XenoError("task-uncancellable", `a ${task.kind} cannot be called off`, { hint: "wait for its end" });
    this.#cancels.get(id)?.abort(new XenoError("task-cancelled", `the ${task.kind} of ${task.domain} was called off`));
    return task;
  }

  findByRequest(request: string): Task | undefined {
    for (const task of this.#tasks.values()) if (task.request === request) return task;
    return undefined;
  }

  /** The one that is under way for a domain, if any. */
  findRunning(kind: Task["kind"], domain: string): Task | undefined {
    for (const task of this.#tasks.values())
      if (task.kind === kind && task.domain === domain && task.state === "running") return task;
    return undefined;
  }

  /** The task once its version is past `seen`, or it has ended, or the time is over. */
  async wait(id: string, seen: number, waitMs: number): Promise<Task> {
    const task = this.get(id);
    if (task.version > seen || task.state !== "running" || waitMs <= 0) return task;
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiting = this.#waiting.get(id) ?? new Set();
    this.#waiting.set(id, waiting.add(resolve));
    const timer = setTimeout(resolve, Math.min(waitMs, maxWaitMs));
    await promise;
    clearTimeout(timer);
    waiting.delete(resolve);
    return task;
  }

  /** Settles once no task runs. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  async #run(task: Task, operation: (progress: TaskProgress, id: string) => Promise<unknown>): Promise<void> {
    const cancelled = new AbortController();
    this.#cancels.set(task.id, cancelled);
    const { signal } = cancelled;
    const step = (name: string, at = Date.now()) => {
      task.progress.push({ step: name, at });
      this.#change(task);
    };
    try {
      this.#end(task, { result: (await operation({ step, signal }, task.id)) ?? {} });
    } catch (error) {
      if (!(error instanceof XenoError)) this.#onDefect(error);
      this.#end(task, { error: describeError(error) });
    }
    this.#cancels.delete(task.id);
    await this.#save(task).catch(this.#onDefect);
  }

  #end(task: Task, outcome: { result?: unknown; error?: ErrorBody }): void {
    task.state = outcome.error === undefined ? "done" : "failed";
    task.ended = Date.now();
    Object.assign(task, outcome);
    this.#change(task);
  }

  #change(task: Task): void {
    task.version++;
    this.#onChange(task);
    for (const wake of this.#waiting.get(task.id) ?? []) wake();
    if (task.state !== "running") this.#waiting.delete(task.id);
  }

  async #trim(): Promise<void> {
    for (const [id, task] of this.#tasks) {
      if (this.#tasks.size <= maxKept) return;
      if (task.state === "running") continue;
      this.#tasks.delete(id);
      await rm(this.#file(id), { force: true });
    }
  }

  #save(task: Task): Promise<void> {
    return writeStateFile(this.#file(task.id), task);
  }

  #file(id: string): string {
    return join(this.#directory, `${id}.json`);
  }
}
