/** Runs commands in a host's dom0, one at a time: see serve-shell.sh. */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { XenoError } from "../../cowfs/errors.ts";
import { SerialQueues } from "../../xenod/serial-queues.ts";

export interface Dom0Result {
  readonly status: number;
  /** stdout and stderr. */
  readonly output: string;
}

const maxOutputBytes = 16 * 1024 * 1024;

export class Dom0Shell {
  readonly #path: string;
  readonly #queue = new SerialQueues();

  constructor(socketPath: string) {
    this.#path = socketPath;
  }

  /** A line of sh(1). Waits for dom0 to be up. */
  run(command: string, signal: AbortSignal): Promise<Dom0Result> {
    return this.#queue.run("shell", () => this.#ask(command, signal));
  }

  /** As `run`; rejects with `dom0-command-failed` where its exit status is not 0. */
  async require(command: string, signal: AbortSignal): Promise<string> {
    const { status, output } = await this.run(command, signal);
    if (status === 0) return output;
    throw new XenoError("dom0-command-failed", `in dom0, "${command}" ended with ${status}: ${output.slice(-2000)}`);
  }

  async #ask(command: string, signal: AbortSignal): Promise<Dom0Result> {
    const socket = await this.#connect(signal);
    try {
      // What a command prints whose caller has gone comes to the next one.
      const mark = randomUUID();
      const answer = new RegExp(`\x01${mark}\n(.*)\0(\\d+)\n$`, "s");
      socket.write(`printf '\\001${mark}\\n'; ${command.replaceAll("\n", "; ")}\n`);
      let output = "";
      for await (const text of socket.setEncoding("utf8")) {
        signal.throwIfAborted();
        output += text;
        const [, printed, status] = answer.exec(output) ?? [];
        if (status !== undefined) return { status: Number(status), output: printed };
        if (output.length > maxOutputBytes) throw new XenoError("dom0-command-failed", `"${command}" prints too much`);
      }
      throw new XenoError("dom0-gone", `the Xen host ended while it ran "${command}"`);
    } finally {
      socket.destroy();
    }
  }

  async #connect(signal: AbortSignal): Promise<Socket> {
    for (;;) {
      signal.throwIfAborted();
      const socket = connect(this.#path);
      try {
        await once(socket, "connect", { signal });
        signal.addEventListener("abort", () => socket.destroy(signal.reason), { once: true });
        return socket;
      } catch {
        socket.destroy();
        await delay(100, undefined, { signal });
      }
    }
  }
}
