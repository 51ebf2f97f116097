/** Who makes a request: its credential, proved by the key that the credential is bound to. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import { XenoError } from "../../cowfs/errors.ts";
import type { Credential } from "./credential.ts";
import type { ProofWindow } from "./proof.ts";
import type { PublicJwk } from "./public-key.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** As it came, for its proof; empty without one. */
    bodyText: string;
  }
}

/** Bodies are JSON, and stay known as they came. Call it before any route is added. */
export function keepBodyText(server: FastifyInstance): void {
  server.decorateRequest("bodyText", "");
  server.removeContentTypeParser("application/json");
  server.addContentTypeParser("application/json", { parseAs: "string" }, (request, body, done) => {
    request.bodyText = body as string;
    try {
      done(null, JSON.parse(body as string));
    } catch {
      done(new XenoError("request-invalid", "the body is no JSON"), undefined);
    }
  });
}

export interface Prover {
  readonly keyId: string;
  readonly publicKey: PublicJwk;
}

/** The key that a request proves to have, whoever that is. Throws `proof-missing` and as `ProofWindow.take` does. */
export async function requireProof(
  request: FastifyRequest,
  address: string,
  proofs: ProofWindow,
  now: number,
  credential?: string,
): Promise<Prover> {
  const proof = request.headers.dpop;
  if (typeof proof !== "string")
    throw new XenoError("proof-missing", "this request proves no key", { hint: "send a DPoP header (RFC 9449)" });
  const path = request.url.split("?", 1)[0];
  const proved = { method: request.method, address: `${address}${path}`, body: request.bodyText, credential };
  return await proofs.take(proof, proved, now);
}

/** The credential in `Authorization: DPoP …`. Throws `credential-missing`. */
export function readCredential(request: FastifyRequest): string {
  const match = /^DPoP ([\w.-]+)$/.exec(request.headers.authorization ?? "");
  if (match !== null) return match[1]!;
  throw new XenoError("credential-missing", "this request brings no credential", { hint: "register first" });
}

/** Throws `proof-foreign` where another key than the credential's made the proof. */
export function requireSameKey(credential: Credential, { keyId }: Prover): void {
  if (credential.cnf.jkt !== keyId)
    throw new XenoError("proof-foreign", `the credential of ${credential.sub} is bound to another key`);
}
