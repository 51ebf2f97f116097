/**
 * The API on TCP: TLS 1.3, a key on both sides. Nothing of a request is looked at before its caller is admitted.
 *
 * Sessions are not resumed, so that each connection proves both keys; connections, handshakes and headers are bounded, since
 * anyone can open them.
 */

import { constants } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import https from "node:https";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { XenoError } from "../../cowfs/errors.ts";
import type { Trust } from "../../xenostore/keys/key-ring.ts";
import { describeError } from "../http/json-server.ts";
import type { TlsIdentity } from "../identity/tls-identity.ts";
import { admitCaller } from "./callers.ts";

export interface TcpListening {
  readonly host: string;
  /** 0 takes any. */
  readonly port: number;
  readonly identity: TlsIdentity;
  readonly trust: Trust;
  onRequest(request: IncomingMessage, response: ServerResponse): void;
  onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
}

export interface TcpListener {
  readonly port: number;
  close(): Promise<void>;
}

const maxConnections = 512;
const handshakeTimeoutMs = 10_000;
/** Of a connection that asks nothing for a while: a hand-over between XenoServers does not wait for handshakes. */
const idleMs = 30_000;
const headersTimeoutMs = 20_000;

/** Rejects with `listen-failed`. */
export async function listenOnTcp(listening: TcpListening): Promise<TcpListener> {
  const { host, port, identity, trust, onRequest, onUpgrade } = listening;
  const server = https.createServer({
    key: identity.key,
    cert: identity.cert,
    minVersion: "TLSv1.3",
    requestCert: true,
    // Nobody signs our certificates: admitCaller looks at the key.
    rejectUnauthorized: false,
    secureOptions: constants.SSL_OP_NO_TICKET,
    handshakeTimeout: handshakeTimeoutMs,
    headersTimeout: headersTimeoutMs,
    keepAliveTimeout: idleMs,
  });
  server.maxConnections = maxConnections;
  server.on("request", (request, response) => {
    admitCaller(request.socket as TLSSocket, request.url, trust).then(
      () => onRequest(request, response),
      (error) => {
        response.writeHead(401, { "content-type": "application/json", connection: "close" });
        response.end(JSON.stringify(describeError(error)));
      },
    );
  });
  server.on("upgrade", (request, socket, head) => {
    admitCaller(request.socket as TLSSocket, request.url, trust).then(
      () => onUpgrade(request, socket, head),
      () => socket.end("HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n"),
    );
  });
  // What does not speak TLS, or breaks off, is closed.
  server.on("tlsClientError", (_error, socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(
        new XenoError("listen-failed", `the API cannot listen on ${host}:${port}: ${cause.message}`, {
          hint: "choose another address or port, or end what holds it: ss -ltnp",
          cause,
        }),
      ),
    );
    server.listen({ host, port }, resolve);
  });
  return {
    port: (server.address() as { port: number }).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
