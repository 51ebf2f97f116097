/** Xenod as a program: the XenoServer and its API, until a signal or a shutdown. */
import { rm } from "node:fs/promises";
import type { PublicKeyText } from "../../xenostore/keys/key-ring.ts";
import { serveApi } from "../api/server.ts";
import { apiSocket } from "../api/socket-path.ts";
import { loadServerIdentity, serverKeys } from "../identity/tls-identity.ts";
import { XenoServer } from "./xeno-server.ts";
import type { XenoServerOptions } from "./xeno-server-options.ts";

export interface RunOptions extends XenoServerOptions {
  /** Ends Xenod; guests and file server go on. */
  readonly signal: AbortSignal;
  /** Serves the API on TCP too, for callers with keys that the operator trusts. */
  readonly listen?: { readonly host: string; readonly port: number };
  /** Called once requests are answered. */
  onReady?(ready: ReadyServer): void;
}

export interface ReadyServer {
  readonly socketPath: string;
  /** What the API has on TCP. */
  readonly port?: number;
  /** What this XenoServer proves to be. */
  readonly publicKey: PublicKeyText;
}

/** Settles when Xenod has ended: by its signal, or because a client shut the XenoServer down. */
export async function runXenoServer(options: RunOptions): Promise<void> {
  const { signal, log, stateDirectory } = options;
  const socketPath = apiSocket(stateDirectory);
  const server = await XenoServer.open(options);
  const { promise: shutDown, resolve: onShutDown } = Promise.withResolvers<void>();
  try {
    const identity = await loadServerIdentity(serverKeys(stateDirectory));
    const api = await serveApi(server, { socketPath, listen: options.listen, identity, onShutDown });
    try {
      log.info({ socketPath, port: api.port }, "ready");
      options.onReady?.({ socketPath, port: api.port, publicKey: identity.publicKey });
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
  { graceMs = 10_000, remove = false, halt = false }: { graceMs?: number; remove?: boolean; halt?: boolean } = {},
): Promise<void> {
  const server = await XenoServer.open(options);
  await server.shutdown({ graceMs, remove, halt });
}
