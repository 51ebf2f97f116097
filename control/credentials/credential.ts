/**
 * What a XenoCorp says of a client or a XenoServer: "known to me", as a JWT (RFC 7519) that is bound to the holder's key (RFC
 * 7800, `cnf`). Who has the text alone has nothing: each request proves the key (proof.ts).
 */
import type { CryptoKey } from "jose";
import { type Static, Type } from "typebox";
import { XenoError } from "../../cowfs/errors.ts";
import type { SigningKey } from "../../xenostore/keys/key-ring.ts";
import { KeyId } from "./public-key.ts";
import { signText, verifyText } from "./signed-text.ts";

export const Role = Type.Union([Type.Literal("client"), Type.Literal("server")]);
export type Role = Static<typeof Role>;

const seconds = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

const Claims = Type.Object({
  /** The XenoCorp's name. */
  iss: Type.String({ maxLength: 200 }),
  /** Of the holder, with this XenoCorp: says nothing of who it is. */
  sub: Type.String({ maxLength: 200 }),
  role: Role,
  cnf: Type.Object({ jkt: KeyId }),
  /** Where the XenoCorp's policy is to show identities. */
  name: Type.Optional(Type.String({ maxLength: 200 })),
  iat: seconds,
  exp: seconds,
});
export type Credential = Static<typeof Claims>;

export interface NewCredential {
  readonly corporation: string;
  readonly holder: string;
  readonly role: Role;
  readonly keyId: string;
  readonly name?: string;
  /** Ms since the epoch. */
  readonly now: number;
  readonly validMs: number;
}

export async function issueCredential(credential: NewCredential, key: SigningKey): Promise<string> {
  const { corporation, holder, role, keyId, name, now, validMs } = credential;
  const claims: Credential = {
    iss: corporation,
    sub: holder,
    role,
    cnf: { jkt: keyId },
    name,
    iat: Math.floor(now / 1000),
    exp: Math.ceil((now + validMs) / 1000),
  };
  return await signText({ typ: "xeno-credential+jwt", kid: key.id }, claims, key.privateKey);
}

/** Throws `signature-invalid`, `credential-foreign`, `credential-expired`. */
export async function verifyCredential(
  text: string,
  expected: { readonly corporation: string; readonly key: CryptoKey },
  now: number,
): Promise<Credential> {
  const credential = await verifyText(text, "xeno-credential+jwt", Claims, expected.key);
  if (credential.iss !== expected.corporation)
    throw new XenoError("credential-foreign", `${credential.iss} issued this credential, not ${expected.corporation}`);
  if (now >= credential.exp * 1000)
    throw new XenoError("credential-expired", `the credential of ${credential.sub} has expired`, {
      hint: "register again with the same key: it stays the same holder",
    });
  return credential;
}
