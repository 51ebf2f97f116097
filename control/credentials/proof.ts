/**
 * Proof of a request (DPoP, RFC 9449): the holder signs method, address, time, a number used once, and the credential's hash.
 *
 * - (P1) A proof is taken once: those of the last two minutes are remembered, older and newer ones are refused, and so is
 *   one from before this process began, which may have been taken by the one before.
 * - (P2) It speaks of this request: method, address without query, body (`ath` covers the credential, `bdy` the body).
 */
import { createHash, randomUUID } from "node:crypto";
import { type Static, Type } from "typebox";
import { Check } from "typebox/value";
import { XenoError } from "../../cowfs/errors.ts";
import type { SigningKey } from "../../xenostore/keys/key-ring.ts";
import { describePublicKey, identifyKey, importPublicKey, PublicJwk } from "./public-key.ts";
import { readHeader, signText, verifyText } from "./signed-text.ts";

const Claims = Type.Object({
  jti: Type.String({ minLength: 8, maxLength: 100 }),
  htm: Type.String({ maxLength: 16 }),
  htu: Type.String({ maxLength: 2000 }),
  /** Ms since the epoch; RFC 9449 has seconds, in which a restart cannot be told from what came before. */
  iat: Type.Number(),
  ath: Type.Optional(Type.String({ maxLength: 64 })),
  /** Of the body, as `ath`: a request that was read on the way cannot be sent with another one. */
  bdy: Type.String({ maxLength: 64 }),
});
type Claims = Static<typeof Claims>;

export interface ProvedRequest {
  readonly method: string;
  /** Scheme, host and path; no query. */
  readonly address: string;
  readonly body: string;
  readonly credential?: string;
}

const windowMs = 60_000;
const maxRemembered = 500_000;

export async function proveRequest(request: ProvedRequest, key: SigningKey, now: number): Promise<string> {
  const claims: Claims = {
    jti: randomUUID(),
    htm: request.method,
    htu: request.address,
    iat: now,
    ath: request.credential === undefined ? undefined : hashText(request.credential),
    bdy: hashText(request.body),
  };
  return await signText({ typ: "dpop+jwt", jwk: describePublicKey(key.publicKey) }, claims, key.privateKey);
}

/** Remembers what was taken; one for each process that takes proofs. */
export class ProofWindow {
  readonly #started: number;
  /** Ids, oldest first, with when they may be forgotten. */
  readonly #taken = new Map<string, number>();

  constructor(now: number) {
    this.#started = now;
  }

  /** The id of the key that made the proof. Throws `signature-invalid`, `proof-stale`, `proof-replayed`, `proof-foreign`. */
  async take(text: string, request: ProvedRequest, now: number): Promise<{ keyId: string; publicKey: PublicJwk }> {
    const { jwk } = readHeader(text, "dpop+jwt");
    if (!Check(PublicJwk, jwk)) throw new XenoError("signature-invalid", "a proof brings an Ed25519 public key");
    const claims = await verifyText(text, "dpop+jwt", Claims, await importPublicKey(jwk));
    const keyId = await identifyKey(jwk);
    const ath = request.credential === undefined ? undefined : hashText(request.credential);
    const isOurs =
      claims.htm === request.method &&
      claims.htu === request.address &&
      claims.ath === ath &&
      claims.bdy === hashText(request.body);
    if (!isOurs) throw new XenoError("proof-foreign", "this proof was made for another request");
    if (Math.abs(now - claims.iat) > windowMs || claims.iat < this.#started)
      throw new XenoError("proof-stale", "this proof was not made just now", {
        hint: "compare the clocks of both machines; after a restart of the server make the request again",
      });
    this.#remember(`${keyId} ${claims.jti}`, now);
    return { keyId, publicKey: jwk };
  }

  #remember(id: string, now: number): void {
    for (const [old, until] of this.#taken) {
      if (until >= now) break;
      this.#taken.delete(old);
    }
    if (this.#taken.has(id)) throw new XenoError("proof-replayed", "this proof was used before");
    if (this.#taken.size >= maxRemembered)
      throw new XenoError("requests-busy", "too many requests in a minute", { hint: "try again in a minute" });
    // A proof from a clock ahead of ours is taken until two windows from now.
    this.#taken.set(id, now + 2 * windowMs);
  }
}

function hashText(text: string): string {
  return createHash("sha256").update(text).digest("base64url");
}
