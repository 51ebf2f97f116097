/**
 * Xenod's API: HTTP and JSON, on a unix socket that only root can open, and on TCP where the operator wants it (tcp-listener.ts,
 * callers.ts). `GET /v1/openapi.json` describes every route; the `*-routes.ts` are the routes.
 *
 * Long operations answer 202 with a task at once. Each request may come twice, and then does its work once.
 */
import { chmod, rm } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import swagger from "@fastify/swagger";
import type { FastifyInstance } from "fastify";
import { readTrust } from "../../xenostore/keys/key-ring.ts";
import type { XenoServer } from "../daemon/xeno-server.ts";
import { createJsonServer } from "../http/json-server.ts";
import type { TlsIdentity } from "../identity/tls-identity.ts";
import { addCheckpointRoutes } from "./checkpoint-routes.ts";

import { addDomainRoutes } from "./domain-routes.ts";
import { createMetrics } from "./metrics.ts";
import { addMigrationRoutes } from "./migration-routes.ts";
import { addPeerRoutes } from "./peer-routes.ts";
import { addProgramRoutes } from "./program-routes.ts";
import { addServerRoutes } from "./server-routes.ts";
import { upgradeToStream } from "./streams.ts";
import { addTaskRoutes } from "./task-routes.ts";
import { listenOnTcp } from "./tcp-listener.ts";

export interface ApiOptions {
  readonly socketPath: string;
  /** TCP too, for callers that the operator trusts. */
  readonly listen?: { readonly host: string; readonly port: number };
  readonly identity: TlsIdentity;
  /** Called after the answer to a shutdown has left. */
  onShutDown(): void;
}

export interface ServedApi {
  /** The TCP port, where there is one. */
  readonly port?: number;
  close(): Promise<void>;
}

/** Settles once it listens. */
export async function serveApi(server: XenoServer, options: ApiOptions): Promise<ServedApi> {
  let url: string | undefined;
  const api = await createApi(server, { ...options, url: () => url });
  const onUpgrade = (request: IncomingMessage, socket: Duplex) => void upgradeToStream(server, request, socket);
  api.server.on("upgrade", onUpgrade);
  // The XenoServer's lock is ours, so the socket of a killed Xenod is nobody's.
  await rm(options.socketPath, { force: true });
  // Until its mode is set, the state directory's own keeps others out.
  await api.listen({ path: options.socketPath });
  await chmod(options.socketPath, 0o600);
  if (options.listen === undefined) return { close: () => api.close() };
  try {
    const tcp = await listenOnTcp({
      ...options.listen,
      identity: options.identity,
      trust: readTrust(server.options.trustDirectory),
      onRequest: (request, response) => api.routing(request, response),
      onUpgrade,
    });
    const { host } = options.listen;
    url = `https://${host.includes(":") ? `[${host}]` : host}:${tcp.port}`;
    return {
      port: tcp.port,
      async close() {
        await tcp.close();
        await api.close();
      },
    };
  } catch (error) {
    await api.close();
    throw error;
  }
}

interface CreateApiOptions extends Pick<ApiOptions, "identity" | "onShutDown"> {
  /** Where it answers on TCP. */
  url?(): string | undefined;
}

/** The routes, listening nowhere. */
export async function createApi(
  server: XenoServer,
  { identity, onShutDown, url = () => undefined }: CreateApiOptions,
): Promise<FastifyInstance> {
  const api = createJsonServer((error) => server.options.log.error({ err: error }, "a request's defect"));
  const metrics = createMetrics(server);
  api.addHook("onResponse", async ({ method, routeOptions }, { statusCode, elapsedTime }) =>
    metrics.countRequest(method, routeOptions.url ?? "unknown", statusCode, elapsedTime / 1000),
  );
  await api.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: { title: "XenoServer", version: "1", description: "Xenod's API: the domains of one XenoServer." },
    },
  });
  addServerRoutes(api, server, { metrics, publicKey: identity.publicKey, url, onShutDown });
  addDomainRoutes(api, server);
  addCheckpointRoutes(api, server);
  addMigrationRoutes(api, server);
  addPeerRoutes(api, server.receptions);
  addProgramRoutes(api, server);
  addTaskRoutes(api, server);
  api.get("/v1/openapi.json", { schema: { hide: true } }, async () => api.swagger());
  await api.ready();
  return api;
}
