/**
 * Keys: those that this user signs with, and those that this user trusts to sign for an owner.
 *
 * Under the directory that the caller names: `<name>.key` is a private Ed25519 key (JWK, mode 0600), and
 * `trusted/<owner>/<key id>` the text of a public key. A key id is the key's RFC 7638 thumbprint. Trust is nothing else
 * than a file in that directory: whoever can write it decides whom this machine believes.
 */
import { createPrivateKey, type JsonWebKey, type KeyObject } from "node:crypto";
import fs from "node:fs/promises";
import path from "node:path";
import { type CryptoKey, calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type JWK } from "jose";
import { XenoError } from "../../cowfs/errors.ts";

/** A public key as one line that can be sent to others: `ed25519:` and base64url. */
export type PublicKeyText = string;

export interface SigningKey {
  readonly name: string;
  readonly id: string;
  readonly publicKey: PublicKeyText;
  readonly privateKey: CryptoKey;
  readonly verifyKey: CryptoKey;
}

export interface TrustedKey {
  readonly owner: string;
  readonly id: string;
  readonly publicKey: PublicKeyText;
}

/** Makes a key and keeps it as `<name>.key`. Throws `key-exists`. */
export async function createKey(directory: string, name: string): Promise<SigningKey> {
  const file = keyFile(directory, name);
  const { privateKey } = await generateKeyPair("EdDSA", { extractable: true });
  await fs.mkdir(directory, { recursive: true, mode: 0o700 });
  try {
    await fs.writeFile(file, `${JSON.stringify(await exportJWK(privateKey))}\n`, {
      mode: 0o600,
      flag: "wx",
      flush: true,
    });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw unusable(file, cause);
    throw new XenoError("key-exists", `there is a key named ${name} already`, {
      hint: "Use it, or choose another name; a key that was lost cannot be made again.",
    });
  }
  return await loadKey(directory, name);
}

/** Throws `key-missing` or `key-unusable`; a key that others may read is refused. */
export async function loadKey(directory: string, name: string): Promise<SigningKey> {
  const jwk = await readKey(directory, name);
  try {
    const privateKey = (await importJWK(jwk, "EdDSA")) as CryptoKey;
    const verifyKey = (await importJWK({ ...jwk, d: undefined }, "EdDSA")) as CryptoKey;
    return { name, id: await calculateJwkThumbprint(jwk), publicKey: `ed25519:${jwk.x}`, privateKey, verifyKey };
  } catch (cause) {
    throw unusable(keyFile(directory, name), cause);
  }
}

/** For what wants the key itself, as TLS does. Throws as `loadKey`. */
export async function loadPrivateKey(directory: string, name: string): Promise<KeyObject> {
  const jwk = await readKey(directory, name);
  try {
    return createPrivateKey({ key: jwk as JsonWebKey, format: "jwk" });
  } catch (cause) {
    throw unusable(keyFile(directory, name), cause);
  }
}

async function readKey(directory: string, name: string): Promise<JWK> {
  const file = keyFile(directory, name);
  try {
    const { mode } = await fs.stat(file);
    if ((mode & 0o077) !== 0)
      throw new XenoError("key-unusable", `others can read the private key ${file}`, { hint: `chmod 600 ${file}` });
    const jwk = JSON.parse(await fs.readFile(file, "utf8")) as JWK;
    if (jwk.kty !== "OKP" || jwk.crv !== "Ed25519" || !jwk.d) throw new Error("it holds no private Ed25519 key");
    return jwk;
  } catch (cause) {
    if (cause instanceof XenoError) throw cause;
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw unusable(file, cause);
    throw new XenoError("key-missing", `there is no key named ${name}`, { hint: `Make it: xeno key new ${name}` });
  }
}

/** The keys that this user can sign with, by name. */
export async function listKeys(directory: string): Promise<SigningKey[]> {
  const names = (await readNames(directory)).filter((name) => name.endsWith(".key"));
  return await Promise.all(names.map((name) => loadKey(directory, name.slice(0, -4))));
}

/** From now on believes what `publicKey` signs for `owner`. Throws `key-unusable`. Trusting twice is no error. */
export async function trustKey(directory: string, owner: string, publicKey: PublicKeyText): Promise<TrustedKey> {
  checkOwner(owner);
  const id = await calculateJwkThumbprint(parsePublicKey(publicKey));
  const folder = path.join(directory, "trusted", owner);
  await fs.mkdir(folder, { recursive: true, mode: 0o700 });
  const temporary = path.join(folder, `.${id}.${process.pid}`);
  await fs.writeFile(temporary, `${publicKey.trim()}\n`, { mode: 0o600, flush: true });
  await fs.rename(temporary, path.join(folder, id));
  return { owner, id, publicKey: publicKey.trim() };
}

/** Ends the trust; what was accepted before stays. */
export async function distrustKey(directory: string, owner: string, id: string): Promise<void> {
  checkOwner(owner);
  if (!/^[A-Za-z0-9_-]{43}$/.test(id)) throw new XenoError("key-unusable", `${JSON.stringify(id)} is not a key id`);
  await fs.rm(path.join(directory, "trusted", owner, id), { force: true });
}

export async function listTrustedKeys(directory: string): Promise<TrustedKey[]> {
  const keys: TrustedKey[] = [];
  for (const owner of await readNames(path.join(directory, "trusted"))) {
    for (const id of await readNames(path.join(directory, "trusted", owner))) {
      if (id.startsWith(".")) continue;
      const publicKey = (await fs.readFile(path.join(directory, "trusted", owner, id), "utf8")).trim();
      keys.push({ owner, id, publicKey });
    }
  }
  return keys;
}

/** Who may sign what, as readers of refs need it. */
export interface Trust {
  /** The key with this id, if it may sign for this owner. */
  find(owner: string, id: string): Promise<CryptoKey | undefined>;
  /** Where to look, for messages. */
  readonly description: string;
}

/** The trust in a directory, as it is whenever it is asked: changes need no restart. */
export function readTrust(directory: string): Trust {
  return {
    description: path.join(directory, "trusted"),
    async find(owner, id) {
      for (const key of await listTrustedKeys(directory)) {
        if (key.owner !== owner || key.id !== id) continue;
        const jwk = parsePublicKey(key.publicKey);
        // The name of a file proves nothing: the key itself must have this id.
        if ((await calculateJwkThumbprint(jwk)) === id) return (await importJWK(jwk, "EdDSA")) as CryptoKey;
      }
      return undefined;
    },
  };
}

export function checkOwner(owner: string): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9_+~-]{0,99}$/.test(owner))
    throw new XenoError("store-key", `${JSON.stringify(owner)} is not a possible owner`, {
      hint: "An owner is letters, digits and _ + ~ -",
    });
}

/** The text, trimmed. Throws `key-unusable`. */
export function checkPublicKey(text: string): PublicKeyText {
  parsePublicKey(text);
  return text.trim();
}

function parsePublicKey(text: PublicKeyText): JWK {
  const match = /^ed25519:([A-Za-z0-9_-]{43})$/.exec(text.trim());
  if (!match)
    throw new XenoError("key-unusable", `${JSON.stringify(text.slice(0, 80))} is not a public key`, {
      hint: "A public key reads ed25519: and 43 characters; `xeno key ls` shows your own.",
    });
  return { kty: "OKP", crv: "Ed25519", x: match[1] };
}

function keyFile(directory: string, name: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.+~-]{0,99}$/.test(name))
    throw new XenoError("key-unusable", `${JSON.stringify(name)} is not a possible name of a key`);
  return path.join(directory, `${name}.key`);
}

function unusable(file: string, cause: unknown): XenoError {
  return new XenoError("key-unusable", `the key ${file} cannot be used: ${(cause as Error).message}`, { cause });
}

async function readNames(directory: string): Promise<string[]> {
  const names = await fs.readdir(directory).catch((error) => {
    if (error.code === "ENOENT") return [];
    throw unusable(directory, error);
  });
  return names.sort();
}
