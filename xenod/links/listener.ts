/**
 * Opens a listening socket inside a network namespace, for a process that stays outside.
 *
 * Node cannot change the namespace of a running process, so a child is started inside by nsenter(1); it binds the
 * socket and hands it back over Node's IPC as a raw handle. Nobody accepts on the way: the first process that calls
 * `server.listen(handle)` makes the socket listen, and as long as any process keeps the handle, connections that arrive
 * while nobody accepts wait in the backlog (a file server's restart is not seen as a refusal).
 */
import { type ChildProcess, fork } from "node:child_process";
import { XenoError } from "../../cowfs/errors.ts";
import { systemEnvironment } from "../system-path.ts";
import { namespacePath } from "./namespaces.ts";

/**
 * A bound TCP socket, not yet listening (Node's internal TCP object). `server.listen(handle)` and
 * `childProcess.send(message, handle)` take it; `close` lets go of this process's share.
 */
export interface RawListener {
  close(): void;
}

/** Binds host:port inside the namespace. Rejects with listen-failed when the address is in use or not there. */
export async function openListener(
  namespace: string,
  host: string,
  port: number,
  signal: AbortSignal,
): Promise<RawListener> {
  const child = forkInside(namespace, "bind-listener.ts", [host, String(port)], signal);
  try {
    return await new Promise<RawListener>((resolve, reject) => {
      const failed = (reason: string, hint?: string) =>
        reject(new XenoError("listen-failed", `in the network namespace ${namespace}: ${reason}`, { hint }));
      child.once("message", (message: { error?: string }, handle) => {
        if (handle !== undefined) resolve(handle as unknown as RawListener);
        else failed(message.error ?? "no socket came", "see what holds the address: ip netns exec NAME ss -ltnp");
      });
      child.once("error", (error) => (signal.aborted ? reject(signal.reason) : failed(error.message)));
      child.once("exit", (code) => failed(`its process ended with ${code}`, "does the network namespace exist?"));
    });
  } finally {
    if (child.connected) child.disconnect();
  }
}

/** Starts one of this folder's programs inside a namespace, with an IPC channel; it ends when the channel closes. */
export function forkInside(namespace: string, program: string, options: string[], signal?: AbortSignal): ChildProcess {
  const path = new URL(program, import.meta.url).pathname;
  return fork(path, options, {
    execPath: "nsenter",
    execArgv: [`--net=${namespacePath(namespace)}`, process.execPath, "--no-warnings"],
    stdio: ["ignore", "ignore", "ignore", "ipc"],
    env: { ...process.env, ...systemEnvironment },
    serialization: "json",
    signal,
  });
}
