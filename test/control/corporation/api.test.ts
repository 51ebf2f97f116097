/** Requests as somebody on the way, or somebody who stole one, would send them. */
import test from "ava";
import { proveRequest } from "../../../control/credentials/proof.ts";
import { makeKey } from "../credentials/make-key.ts";
import { type Holder, type Running, registerHolder, withCorporation } from "./running.ts";

interface Raw {
  readonly method: string;
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body?: string;
}

async function send({ address }: Running, { method, path, headers, body }: Raw): Promise<string> {
  const reply = await fetch(`${address}${path}`, { method, headers, body });
  const answer = (await reply.json()) as { code?: string };
  return answer.code ?? "taken";
}

async function prove(
  { address }: Running,
  { key, credential }: Holder,
  method: string,
  path: string,
  body = "",
): Promise<Raw> {
  const dpop = await proveRequest({ method, address: `${address}${path}`, body, credential }, key, Date.now());
  const headers: Record<string, string> = { dpop, authorization: `DPoP ${credential}` };
  if (body !== "") headers["content-type"] = "application/json";
  return { method, path, headers, body: body || undefined };
}

test("a request that was read on the way cannot be sent again, nor turned into another", async (t) => {
  await withCorporation(async (running) => {
    const client = await registerHolder(running, "client");
    await running.corporation.payIn(client.holder, 100, "1");
    const body = JSON.stringify({ id: "o1", amount: 5, validMs: 1000 });
    const raw = await prove(running, client, "POST", "/v1/orders", body);
    t.is(await send(running, { ...raw, body: body.replace("5", "6") }), "proof-foreign");
    t.is(await send(running, { ...raw, method: "GET", body: undefined }), "proof-foreign");
    t.is(await send(running, raw), "taken");
    t.is(await send(running, raw), "proof-replayed");
    t.like(await client.client.account(), { held: 5 });
  });
});

test("a credential without its key is worth nothing, nor is a key without its credential", async (t) => {
  await withCorporation(async (running) => {
    const client = await registerHolder(running, "client");
    const thief = { ...client, key: await makeKey("thief") };
    const raw = await prove(running, client, "GET", "/v1/account");
    t.is(await send(running, await prove(running, thief, "GET", "/v1/account")), "proof-foreign");
    t.is(await send(running, { ...raw, headers: { authorization: raw.headers.authorization! } }), "proof-missing");
    t.is(await send(running, { ...raw, headers: { dpop: raw.headers.dpop! } }), "credential-missing");
    t.is(
      await send(running, { ...raw, headers: { ...raw.headers, authorization: `Bearer ${client.credential}` } }),
      "credential-missing",
    );
    t.is(await send(running, raw), "taken");
  });
});

test("a credential of another XenoCorp is refused", async (t) => {
  await withCorporation(async (one) => {
    await withCorporation(async (other) => {
      const client = await registerHolder(one, "client");
      t.is(await send(other, await prove(other, client, "GET", "/v1/account")), "signature-invalid");
    });
  });
});

const bodies: Record<string, string> = {
  "no JSON": "{",
  "no object": "[]",
  "too long": JSON.stringify({ id: "x".repeat(100_000) }),
  deep: "[".repeat(30_000),
  "a prototype": '{"__proto__":{"amount":1},"id":"o1","validMs":1}',
  "more than asked": '{"id":"o1","amount":1,"validMs":1,"free":true}',
};
for (const [title, body] of Object.entries(bodies))
  test(`a body that is ${title} is refused`, async (t) => {
    await withCorporation(async (running) => {
      const client = await registerHolder(running, "client");
      t.is(await send(running, await prove(running, client, "POST", "/v1/orders", body)), "request-invalid");
      t.deepEqual(running.defects, []);
    });
  });

test("whom one deals with is told to anyone, and the page's form is there", async (t) => {
  await withCorporation(async (running) => {
    const told = (await (await fetch(`${running.address}/v1/corporation`)).json()) as object;
    t.like(told, {
      name: running.address,
      currency: "EUR",
      policies: ["exclusive", "prepaid", "afterwards", "offline"],
    });
    const page = await (await fetch(running.address)).text();
    t.true(page.includes(`Register with ${running.address}`));
  });
});
