import { type CryptoKey, calculateJwkThumbprint, exportJWK, generateKeyPair } from "jose";
import type { SigningKey } from "../../../xenostore/keys/key-ring.ts";

/** A key as a key ring has it, in memory. */
export async function makeKey(name = "test"): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair("EdDSA", { extractable: true });
  const jwk = await exportJWK(publicKey);
  const id = await calculateJwkThumbprint(jwk);
  return {
    name,
    id,
    publicKey: `ed25519:${jwk.x}`,
    privateKey: privateKey as CryptoKey,
    verifyKey: publicKey as CryptoKey,
  };
}
