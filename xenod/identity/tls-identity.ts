/**
 * How XenoServers and their clients show each other who they are: TLS 1.3 with an Ed25519 key on both sides, the keys of `xeno key`.
 * There are no authorities and no names: each side knows the other's key before it connects, or refuses.
 */
import type { KeyObject } from "node:crypto";
import { join } from "node:path";
import { XenoError } from "../../cowfs/errors.ts";
import { createKey, loadKey, loadPrivateKey, type PublicKeyText } from "../../xenostore/keys/key-ring.ts";
import { makeCertificate } from "./certificate.ts";

export interface TlsIdentity {
  readonly publicKey: PublicKeyText;
  /** PEM, both. */
  readonly key: string;
  readonly cert: string;
}

/** Of the key `<name>.key` in a directory. Throws `key-missing`, `key-unusable`. */
export async function loadIdentity(directory: string, name: string): Promise<TlsIdentity> {
  const [{ publicKey }, privateKey] = await Promise.all([loadKey(directory, name), loadPrivateKey(directory, name)]);
  return { publicKey, key: exportPem(privateKey), cert: makeCertificate(privateKey) };
}

/** What a XenoServer signs with and is known by: made in its state directory when it first runs. */
export async function loadServerIdentity(keysDirectory: string): Promise<TlsIdentity> {
  try {
    return await loadIdentity(keysDirectory, serverKeyName);
  } catch (error) {
    if (!(error instanceof XenoError && error.code === "key-missing")) throw error;
    await createKey(keysDirectory, serverKeyName);
    return await loadIdentity(keysDirectory, serverKeyName);
  }
}

export const serverKeyName = "server";

/** Where a XenoServer's key lies. */
export function serverKeys(stateDirectory: string): string {
  return join(stateDirectory, "keys");
}

function exportPem(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }) as string;
}
