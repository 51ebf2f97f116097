/** Xenod as a program: the XenoServer and its API, until a signal or a shutdown. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { serveApi } from "../api/server.ts";
import { XenoServer, type XenoServerOptions } from "./xeno-server.ts";

export interface RunOptions extends XenoServerOptions {
  /** Ends Xenod; guests and file server go on. */
  readonly signal: AbortSignal;
  /** Called once requests are answered. */
  onReady?(socketPath: string): void;
}

export function apiSocket(stateDirectory: string): string {
  return join(stateDirectory, "xenod.sock");
}

/** Settles when Xenod has ended: by its signal, or because a client shut the XenoServer down. */
export async function runXenoServer(options: RunOptions): Promise<void> {
  const { signal, log, stateDirectory } = options;
  const socketPath = apiSocket(stateDirectory);
  const server = await XenoServer.open(options);
  const { promise: shutDown, resolve: onShutDown } = Promise.withResolvers<void>();
  try {
    const api = await serveApi(server, socketPath, onShutDown);
    try {
      log.info({ socketPath }, "ready");
      options.onReady?.(socketPath);
      const { promise: aborted, resolve: onAbort } = Promise.withResolvers<void>();
      signal.addEventListener("abort", () => onAbort(), { once: true });
      if (signal.aborted) onAbort();
      await Promise.race([aborted, shutDown]);
    } finally {
      await api.close();
      await rm(socketPath, { force: true });
    }
  } finally {
    await server.detach();
  }
}

/**
 * Ends all guests, the file server and what there is of Xenod: for `npm start`, and for whoever finds a XenoServer whose Xenod
 * was killed. Call it when no Xenod runs, else `XenodClient.shutdown`. `remove` deletes the domains with their journals.
 */
export async function shutdownServer(
  options: XenoServerOptions,
  { graceMs = 10_000, remove = false }: { graceMs?: number; remove?: boolean } = {},
): Promise<void> {
  const server = await XenoServer.open(options);
  await server.shutdown({ graceMs, remove });
}
