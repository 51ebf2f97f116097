/**
 * Compact JWS (RFC 7515) as the control plane uses it: Ed25519 only, one `typ` for each kind of text, claims that are checked
 * against a schema before anyone looks at them. What is not exactly that is refused: no other algorithm, no `none`, no key
 * that the text brings along unless its kind is the proof of one.
 */
import { CompactSign, type CryptoKey, compactVerify, decodeProtectedHeader, type JWK } from "jose";
import type { Static, TSchema } from "typebox";
import { Check } from "typebox/value";
import { XenoError } from "../../cowfs/errors.ts";

export type TextKind =
  | "xeno-credential+jwt"
  | "xeno-order+jwt"
  | "xeno-order-part+jwt"
  | "xeno-order-spent+jwt"
  | "xeno-advertisement+jwt"
  | "xeno-lease+jwt"
  | "xeno-lease-accepted+jwt"
  /** RFC 9449. */
  | "dpop+jwt";

const maxTextBytes = 16 * 1024;

interface Header {
  readonly typ: TextKind;
  readonly kid?: string;
  readonly jwk?: JWK;
}

export async function signText(header: Header, claims: unknown, key: CryptoKey): Promise<string> {
  const payload = Buffer.from(JSON.stringify(claims));
  return await new CompactSign(payload).setProtectedHeader({ alg: "EdDSA", ...header }).sign(key);
}

/** The header of a text, unproved: to find the key by. Throws `signature-invalid` where it is not of this kind. */
export function readHeader(text: string, kind: TextKind): { readonly kid?: string; readonly jwk?: JWK } {
  if (text.length > maxTextBytes) throw invalid(kind, "it is too long");
  let header: ReturnType<typeof decodeProtectedHeader>;
  try {
    header = decodeProtectedHeader(text);
  } catch (cause) {
    throw invalid(kind, "it is no compact JWS", cause);
  }
  if (header.typ !== kind) throw invalid(kind, `it is ${JSON.stringify(header.typ)}`);
  if (header.alg !== "EdDSA") throw invalid(kind, `its algorithm is ${JSON.stringify(header.alg)}`);
  if (kind !== "dpop+jwt" && header.jwk !== undefined) throw invalid(kind, "it brings its own key");
  return { kid: header.kid, jwk: header.jwk };
}

/** The claims, if `key` signed them. Throws `signature-invalid`. */
export async function verifyText<Schema extends TSchema>(
  text: string,
  kind: TextKind,
  schema: Schema,
  key: CryptoKey,
): Promise<Static<Schema>> {
  readHeader(text, kind);
  let claims: unknown;
  try {
    const { payload } = await compactVerify(text, key, { algorithms: ["EdDSA"] });
    claims = JSON.parse(Buffer.from(payload).toString("utf8"));
  } catch (cause) {
    throw invalid(kind, "it was not signed by the key that it should", cause);
  }
  if (!Check(schema, claims)) throw invalid(kind, "its claims are not of that form");
  return claims as Static<Schema>;
}

function invalid(kind: TextKind, reason: string, cause?: unknown): XenoError {
  return new XenoError("signature-invalid", `this is no valid ${kind.replace("+jwt", "")}: ${reason}`, {
    cause,
    hint: "ask its sender for it again",
  });
}
