/** A server process that is killed with SIGKILL and started again. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const program = fileURLToPath(new URL("program.ts", import.meta.url));

/** In bytes: V8's heap with what hangs on it, and the resident set. */
export interface KeptMemory {
  readonly heldBytes: number;
  readonly residentBytes: number;
}

type Message = { readonly port: number } | KeptMemory | { readonly error: string };

export class KilledServer {
  readonly #words: readonly string[];
  #child: ChildProcess | undefined;
  #port: Promise<number>;
  /** What it said went wrong. */
  readonly errors: string[] = [];

  /** `hasUsualLimits`: rounds of checkpoints come as seldom as they do in use. */
  constructor(journal: string, { hasUsualLimits = false } = {}) {
    this.#words = [program, journal, ...(hasUsualLimits ? ["usual"] : [])];
    this.#port = this.#start();
  }

  /** Where it listens, or will as soon as it has started. */
  get port(): Promise<number> {
    return this.#port;
  }

  /** After a collection. */
  async measureMemory(): Promise<KeptMemory> {
    const { promise, resolve, reject } = Promise.withResolvers<KeptMemory>();
    const child = this.#child!;
    const listen = (message: Message) => {
      if ("heldBytes" in message) resolve(message);
    };
    const fail = () => reject(new Error("the server has ended"));
    child.on("message", listen).once("exit", fail);
    try {
      child.send("measure");
      return await promise;
    } finally {
      child.off("message", listen).off("exit", fail);
    }
  }

  async killAndStart(): Promise<void> {
    await this.kill();
    this.#port = this.#start();
    await this.#port;
  }

  async kill(): Promise<void> {
    const child = this.#child!;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    child.kill("SIGKILL");
    await exit;
  }

  async #start(): Promise<number> {
    const child = spawn(process.execPath, this.#words, { stdio: ["ignore", "ignore", "inherit", "ipc"] });
    this.#child = child;
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    child.on("message", (message: Message) => {
      if ("port" in message) resolve(message.port);
      else if ("error" in message) this.errors.push(message.error);
    });
    child.once("exit", (code) => reject(new Error(`the server ended with ${code} before it listened`)));
    return await promise;
  }
}
