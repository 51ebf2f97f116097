/** Ed25519 public keys as JWK (RFC 8037), and their ids (RFC 7638). */
import { type CryptoKey, calculateJwkThumbprint, importJWK } from "jose";
import { type Static, Type } from "typebox";

export const PublicJwk = Type.Object(
  {
    kty: Type.Literal("OKP"),
    crv: Type.Literal("Ed25519"),
    x: Type.String({ pattern: "^[A-Za-z0-9_-]{43}$" }),
  },
  { additionalProperties: false },
);
export type PublicJwk = Static<typeof PublicJwk>;

export const KeyId = Type.String({ pattern: "^[A-Za-z0-9_-]{43}$" });

export async function importPublicKey({ kty, crv, x }: PublicJwk): Promise<CryptoKey> {
  return (await importJWK({ kty, crv, x }, "EdDSA")) as CryptoKey;
}

export async function identifyKey({ kty, crv, x }: PublicJwk): Promise<string> {
  return await calculateJwkThumbprint({ kty, crv, x });
}

/** The key in a key ring's text (`ed25519:…`). */
export function describePublicKey(text: string): PublicJwk {
  return { kty: "OKP", crv: "Ed25519", x: text.replace(/^ed25519:/, "") };
}
