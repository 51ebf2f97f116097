/** Who is at the other end of a TLS connection: the key that it proved to have. */
import type { TLSSocket } from "node:tls";
import { calculateJwkThumbprint } from "jose";
import type { PublicKeyText } from "../../xenostore/keys/key-ring.ts";

export interface PeerKey {
  /** RFC 7638 thumbprint, as the key ring names keys. */
  readonly id: string;
  readonly publicKey: PublicKeyText;
}

/** Undefined where it showed no certificate, or one of a key of another kind. */
export async function readPeerKey(socket: TLSSocket): Promise<PeerKey | undefined> {
  const key = socket.getPeerX509Certificate()?.publicKey;
  if (key?.asymmetricKeyType !== "ed25519") return undefined;
  const { kty, crv, x } = key.export({ format: "jwk" });
  return { id: await calculateJwkThumbprint({ kty, crv, x } as { kty: "OKP" }), publicKey: `ed25519:${x}` };
}
