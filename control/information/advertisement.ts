/**
 * Advertisements: what a XenoServer says of itself, signed with its own key. The XenoServer's id is that key's thumbprint, so
 * that an advertisement proves by itself whose it is (self-certifying names), whoever passed it on.
 *
 * - (A1) Of two advertisements of one XenoServer the one of the later time counts, wherever and in whatever order they arrive.
 * - (A2) It says until when it may be believed, at most a day: an old one that is shown again is refused.
 */
import { type Static, Type } from "typebox";
import { XenoError } from "../../cowfs/errors.ts";
import type { SigningKey } from "../../xenostore/keys/key-ring.ts";
import { describePublicKey, identifyKey, importPublicKey, PublicJwk } from "../credentials/public-key.ts";
import { signText, verifyText } from "../credentials/signed-text.ts";
import { decodePayload } from "./decode-payload.ts";

const time = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const Value = Type.Union([Type.Number(), Type.String({ maxLength: 200 })]);

/** `CPUmsps: 150`, `EnvType: ["Linux", "Program"]`: numbers are looked up by range, texts by themselves. */
export const Tokens = Type.Record(
  Type.String({ pattern: "^[A-Za-z][A-Za-z0-9_.-]{0,49}$" }),
  Type.Union([Value, Type.Array(Value, { maxItems: 32 })]),
  { maxProperties: 64, additionalProperties: false },
);
export type Tokens = Static<typeof Tokens>;

const Claims = Type.Object({
  key: PublicJwk,
  /** Ms since the epoch, by the XenoServer's clock. */
  at: time,
  expires: time,
  /** Where it is reached. */
  address: Type.String({ maxLength: 300 }),
  tokens: Tokens,
});
type Claims = Static<typeof Claims>;

export interface Advertisement extends Omit<Claims, "key"> {
  readonly server: string;
  /** As it was signed, to be passed on. */
  readonly text: string;
}

export const maxAdvertisementBytes = 16 * 1024;
const maxValidMs = 24 * 3_600_000;
/** Clocks may differ by so much. */
const skewMs = 60_000;

export interface NewAdvertisement {
  readonly address: string;
  readonly tokens: Tokens;
  readonly at: number;
  readonly validMs: number;
}

export async function signAdvertisement(advertisement: NewAdvertisement, key: SigningKey): Promise<string> {
  const { address, tokens, at, validMs } = advertisement;
  const claims: Claims = { key: describePublicKey(key.publicKey), at, expires: at + validMs, address, tokens };
  return await signText({ typ: "xeno-advertisement+jwt", kid: key.id }, claims, key.privateKey);
}

/** Throws `signature-invalid`, `advertisement-stale`. */
export async function verifyAdvertisement(text: string, now: number): Promise<Advertisement> {
  const said = decodePayload(text, maxAdvertisementBytes) as { key?: PublicJwk };
  const key = await importNamedKey(said.key);
  const { key: jwk, ...claims } = await verifyText(text, "xeno-advertisement+jwt", Claims, key);
  const isStale = claims.expires <= now || claims.at > now + skewMs || claims.expires - claims.at > maxValidMs;
  if (isStale)
    throw new XenoError(
      "advertisement-stale",
      `an advertisement of ${new Date(claims.at).toISOString()} is not for now`,
      {
        hint: "compare the clocks; advertise anew, for at most a day",
      },
    );
  return { ...claims, server: await identifyKey(jwk), text };
}

async function importNamedKey(key: PublicJwk | undefined) {
  try {
    return await importPublicKey(key!);
  } catch (cause) {
    throw new XenoError("signature-invalid", "this advertisement names no Ed25519 key", { cause });
  }
}
