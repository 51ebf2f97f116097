import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { XenoError } from "../../cowfs/errors.ts";

export interface StreamedCommand {
  readonly command: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal;
  /** Each line that it writes to stderr. */
  readonly onLine?: (line: string) => void;
  /** Makes the error for a command that cannot be started or fails; `reason` holds the end of its stderr. */
  readonly fail: (reason: string, cause?: unknown) => XenoError;
}

const keptLines = 20;
const maxLineLength = 500;
/** To clean up after SIGTERM: mmdebstrap has mounts to undo and a tree to delete. */
const graceMs = 60_000;

/**
 * Runs a program and reads its stdout while it runs. Settles after it has ended: with what `consume` made of it when the
 * program ended well, else with the program's failure. When `consume` gives up first, or `signal` aborts, the program
 * is ended with SIGTERM.
 */
export async function streamCommand<T>(
  { command, env, signal, onLine, fail }: StreamedCommand,
  consume: (stdout: AsyncIterable<Buffer>) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  // In a group of its own, because mmdebstrap ends its whole group when it is ended; and ended when we are killed.
  const args = ["--pdeathsig", "TERM", "--", ...command];
  const child = spawn("setpriv", args, { env, stdio: ["ignore", "pipe", "pipe"], detached: true });
  const closed = once(child, "close") as Promise<[number | null, NodeJS.Signals | null]>;
  closed.catch(() => {});
  const tail: string[] = [];
  createInterface({ input: child.stderr }).on("line", (line) => {
    tail.push(line.slice(0, maxLineLength));
    if (tail.length > keptLines) tail.shift();
    onLine?.(line.slice(0, maxLineLength));
  });
  const stop = () => signalGroup(child.pid, "SIGTERM");
  signal?.addEventListener("abort", stop);
  let kill: NodeJS.Timeout | undefined;
  try {
    const consumed = await settle(consume(child.stdout));
    // A consumer that fails because the program fails has read to the end; the program's reason is the better one.
    const gaveUp = !consumed.ok && !child.stdout.readableEnded;
    if (gaveUp) {
      child.stdout.destroy();
      stop();
      kill = setTimeout(() => signalGroup(child.pid, "SIGKILL"), graceMs);
    }
    const ended = await settle(closed);
    signal?.throwIfAborted();
    if (!ended.ok) throw fail((ended.error as Error).message, ended.error);
    if (gaveUp) throw consumed.error;
    const [code, by] = ended.value;
    if (code !== 0)
      throw fail([`it ended with ${code ?? by}`, ...tail].join("\n  "), consumed.ok ? undefined : consumed.error);
    if (!consumed.ok) throw consumed.error;
    return consumed.value;
  } finally {
    clearTimeout(kill);
    signal?.removeEventListener("abort", stop);
  }
}

/** The program and what it started: a shell or perl that waits for a child hears signals only after it. */
function signalGroup(leader: number | undefined, signal: NodeJS.Signals): void {
  if (leader === undefined) return;
  try {
    process.kill(-leader, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

type Settled<T> = { ok: true; value: T } | { ok: false; error: unknown };

async function settle<T>(promise: Promise<T>): Promise<Settled<T>> {
  try {
    return { ok: true, value: await promise };
  } catch (error) {
    return { ok: false, error };
  }
}
