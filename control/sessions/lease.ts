/**
 * Leases: what a XenoServer and a client agreed on, as two texts. The XenoServer signs an offer; who has the key that it names
 * accepts it by signing its hash. A session is renewed and changed by a further lease of the same session (the leases of ORCA).
 *
 * - (E1) Only both texts together are a lease: neither side can make one alone, or change one.
 * - (E2) An offer can be accepted for two minutes, and counts its session's leases: one that was overtaken cannot come back.
 */
import { createHash } from "node:crypto";
import type { CryptoKey } from "jose";
import { type Static, Type } from "typebox";
import { XenoError } from "../../cowfs/errors.ts";
import type { SigningKey } from "../../xenostore/keys/key-ring.ts";
import { KeyId } from "../credentials/public-key.ts";
import { signText, verifyText } from "../credentials/signed-text.ts";
import { Requirements } from "./requirements/requirements.ts";

export const SessionId = Type.String({ pattern: "^[0-9a-f-]{36}$" });
const amount = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

/** By the names that orders restrict and prices are told by. */
export const SessionResources = Type.Object({
  /** Milliseconds of processor time in each second. */
  CPUmsps: amount,
  MemoryMiB: amount,
  NetMbps: amount,
  DiskMiB: amount,
});
export type SessionResources = Static<typeof SessionResources>;

export const Lease = Type.Object({
  session: SessionId,
  /** 1 for a session's first, and so on. */
  number: Type.Integer({ minimum: 1, maximum: 1_000_000 }),
  /** Ids of keys: the XenoServer's, and the client's, who alone may act in the session. */
  server: KeyId,
  client: KeyId,
  requirements: Requirements,
  resources: SessionResources,
  currency: Type.String({ pattern: "^[A-Z]{3}$" }),
  /** Micro-units, for all of the resources, while the session is in force. */
  pricePerHour: Type.Integer({ minimum: 0, maximum: 1_000_000_000_000 }),
  /** Ms since the epoch. */
  starts: amount,
  ends: amount,
  /** How long what was suspended is kept. */
  graceMs: amount,
  /** Of the offer. */
  acceptUntil: amount,
});
export type Lease = Static<typeof Lease>;

const Acceptance = Type.Object({ offer: Type.String({ maxLength: 64 }) });

export interface SignedLease {
  readonly offer: string;
  readonly acceptance: string;
}
export const SignedLease = Type.Object({
  offer: Type.String({ maxLength: 16 * 1024 }),
  acceptance: Type.String({ maxLength: 4 * 1024 }),
});

export const offerMs = 120_000;

/** By the XenoServer. */
export async function offerLease(lease: Lease, key: SigningKey): Promise<string> {
  return await signText({ typ: "xeno-lease+jwt", kid: key.id }, lease, key.privateKey);
}

/** What an offer says, if `server` signed it. Throws `signature-invalid`. */
export async function readOffer(offer: string, server: CryptoKey): Promise<Lease> {
  return await verifyText(offer, "xeno-lease+jwt", Lease, server);
}

/** By the client, who has looked at what it says. */
export async function acceptOffer(offer: string, key: SigningKey): Promise<SignedLease> {
  const claims = { offer: hashOf(offer) };
  return { offer, acceptance: await signText({ typ: "xeno-lease-accepted+jwt", kid: key.id }, claims, key.privateKey) };
}

/** The lease, if both signed it (E1). Throws `signature-invalid`, `offer-foreign`. */
export async function verifyLease(
  { offer, acceptance }: SignedLease,
  keys: { readonly server: CryptoKey; readonly client: CryptoKey; readonly clientId: string },
): Promise<Lease> {
  const lease = await readOffer(offer, keys.server);
  if (lease.client !== keys.clientId) throw foreign("it was made to another key");
  const accepted = await verifyText(acceptance, "xeno-lease-accepted+jwt", Acceptance, keys.client);
  if (accepted.offer !== hashOf(offer)) throw foreign("it is another one that was accepted");
  return lease;
}

function hashOf(offer: string): string {
  return createHash("sha256").update(offer).digest("base64url");
}

function foreign(why: string): XenoError {
  return new XenoError("offer-foreign", `this offer is not the caller's: ${why}`, { hint: "ask for an offer first" });
}
