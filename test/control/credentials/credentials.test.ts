import test from "ava";
import { CompactSign, exportJWK, generateSecret, SignJWT, UnsecuredJWT } from "jose";
import { issueCredential, verifyCredential } from "../../../control/credentials/credential.ts";
import { ProofWindow, type ProvedRequest, proveRequest } from "../../../control/credentials/proof.ts";
import { describePublicKey } from "../../../control/credentials/public-key.ts";
import { makeKey } from "./make-key.ts";

const now = 1_800_000_000_000;
const corporation = await makeKey("corp");
const holder = await makeKey("holder");
const expected = { corporation: "corp", key: corporation.verifyKey };
const asked = { corporation: "corp", holder: "c1", role: "client", keyId: holder.id, now, validMs: 1000 } as const;
const claims = {
  iss: "corp",
  sub: "c1",
  role: "client",
  cnf: { jkt: holder.id },
  iat: now / 1000,
  exp: now / 1000 + 1,
};

test("a credential says who is known, by which key, and until when", async (t) => {
  const text = await issueCredential(asked, corporation);
  t.deepEqual(await verifyCredential(text, expected, now), { ...claims });
  await t.throwsAsync(verifyCredential(text, expected, now + 1000), { code: "credential-expired" });
});

test("a credential shows a name only where the policy says so", async (t) => {
  const text = await issueCredential({ ...asked, name: "Ada" }, corporation);
  t.is((await verifyCredential(text, expected, now)).name, "Ada");
});

const sign = (header: Record<string, unknown>, body: unknown, key = corporation) =>
  new CompactSign(Buffer.from(JSON.stringify(body)))
    .setProtectedHeader({ alg: "EdDSA", ...header })
    .sign(key.privateKey);
const typ = "xeno-credential+jwt";

const forged: Record<string, () => Promise<string> | string> = {
  "signed by somebody else": () => sign({ typ }, claims, holder),
  "of another kind": () => sign({ typ: "xeno-order+jwt" }, claims),
  "of no kind": () => sign({}, claims),
  "that brings its own key": async () => sign({ typ, jwk: await exportJWK(holder.verifyKey) }, claims, holder),
  "that is not signed": () => new UnsecuredJWT(claims).encode(),
  "signed with the public key as a secret": async () =>
    new SignJWT(claims).setProtectedHeader({ alg: "HS256", typ }).sign(Buffer.from(corporation.publicKey)),
  "signed with a secret": async () =>
    new SignJWT(claims).setProtectedHeader({ alg: "HS256", typ }).sign(await generateSecret("HS256")),
  "with claims left out": () => sign({ typ }, { ...claims, cnf: undefined }),
  "whose role is made up": () => sign({ typ }, { ...claims, role: "operator" }),
  "that is no JWS": () => "a.b",
  "that is empty": () => "",
  "that is long": () => "a".repeat(100_000),
};
for (const [title, make] of Object.entries(forged))
  test(`a credential ${title} is refused`, async (t) => {
    const text = await make();
    await t.throwsAsync(async () => await verifyCredential(text, expected, now), { code: "signature-invalid" });
  });

test("a credential of another XenoCorp is refused, also where both use one key", async (t) => {
  const text = await issueCredential({ ...asked, corporation: "other" }, corporation);
  await t.throwsAsync(verifyCredential(text, expected, now), { code: "credential-foreign" });
});

const request: ProvedRequest = {
  method: "POST",
  address: "https://corp/orders",
  body: '{"amount":1}',
  credential: "text",
};

test("a proof is taken once, and names its maker's key (P1)", async (t) => {
  const window = new ProofWindow(now);
  const proof = await proveRequest(request, holder, now);
  t.is((await window.take(proof, request, now)).keyId, holder.id);
  for (const later of [0, 1, 59_000])
    await t.throwsAsync(window.take(proof, request, now + later), { code: "proof-replayed" });
  await t.throwsAsync(window.take(proof, request, now + 61_000), { code: "proof-stale" });
});

test("a proof from before a restart is refused: it may have been taken already (P1)", async (t) => {
  const proof = await proveRequest(request, holder, now);
  await t.throwsAsync(new ProofWindow(now + 1).take(proof, request, now + 2), { code: "proof-stale" });
});

test("a proof from a clock ahead cannot be used again once it is forgotten", async (t) => {
  const window = new ProofWindow(now);
  const proof = await proveRequest(request, holder, now + 59_000);
  await window.take(proof, request, now);
  for (const later of [60_000, 100_000, 119_000]) {
    const other = await proveRequest(request, holder, now + later);
    await window.take(other, request, now + later);
    await t.throwsAsync(window.take(proof, request, now + later));
  }
});

const others: Record<string, Partial<ProvedRequest>> = {
  method: { method: "GET" },
  address: { address: "https://corp/clients" },
  host: { address: "https://evil/orders" },
  body: { body: '{"amount":2}' },
  credential: { credential: "other" },
  "missing credential": { credential: undefined },
};
for (const [title, change] of Object.entries(others))
  test(`a proof for another ${title} is refused (P2)`, async (t) => {
    const proof = await proveRequest({ ...request, ...change }, holder, now);
    await t.throwsAsync(new ProofWindow(now).take(proof, request, now), { code: "proof-foreign" });
  });

test("a proof that brings another key than it was signed with is refused", async (t) => {
  const header = { typ: "dpop+jwt", jwk: describePublicKey(holder.publicKey) };
  const proof = await sign(header, { jti: "12345678", htm: "POST", htu: request.address, iat: now, bdy: "" });
  await t.throwsAsync(new ProofWindow(now).take(proof, request, now), { code: "signature-invalid" });
});
