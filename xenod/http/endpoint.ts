/** Where a server is, and how to be sure that it is the one. */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { buildConnector, Pool } from "undici";
import { XenoError } from "../../cowfs/errors.ts";
import type { PublicKeyText } from "../../xenostore/keys/key-ring.ts";
import { readPeerKey } from "../identity/peer-key.ts";
import type { TlsIdentity } from "../identity/tls-identity.ts";

export type Endpoint =
  /** A unix socket: the file's owner answers. */
  | { readonly socketPath: string }
  /** `https://HOST:PORT`: who answers must have this key; `identity` is what we show. */
  | { readonly url: string; readonly serverKey: PublicKeyText; readonly identity: TlsIdentity };

export function describeEndpoint(endpoint: Endpoint): string {
  return "url" in endpoint ? endpoint.url : endpoint.socketPath;
}

const defaultConnectTimeout = 10_000;

export function openPool(endpoint: Endpoint, options: Pool.Options): Pool {
  if ("socketPath" in endpoint)
    return new Pool("http://localhost", { ...options, connect: { socketPath: endpoint.socketPath } });
  const { url, serverKey, identity } = endpoint;
  const connector = buildConnector({
    key: identity.key,
    cert: identity.cert,
    minVersion: "TLSv1.3",
    // Nobody signs certificates: the key is what counts.
    rejectUnauthorized: false,
    maxCachedSessions: 0,
    timeout: options.connectTimeout ?? defaultConnectTimeout,
    allowH2: false,
  });
  return new Pool(url, {
    ...options,
    connect: (target, callback) =>
      connector(target, (error, socket) => {
        if (error !== null) return callback(error, null);
        requireKey(socket as Socket as TLSSocket, url, serverKey).then(
          () => callback(null, socket as TLSSocket),
          (refusal) => {
            socket.destroy();
            callback(refusal, null);
          },
        );
      }),
  });
}

/** Throws `server-untrusted`. */
async function requireKey(socket: TLSSocket, url: string, expected: PublicKeyText): Promise<void> {
  const peer = await readPeerKey(socket);
  if (peer?.publicKey === expected) return;
  throw new XenoError("server-untrusted", `who answers at ${url} has not the key ${expected}`, {
    hint: `it has ${peer?.publicKey ?? "none"}; ask its operator, and add it again if that is right: xeno server add`,
  });
}
