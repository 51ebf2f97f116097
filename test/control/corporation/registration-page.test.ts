/** The form of a XenoCorp's page, filled in by a browser: its key is made there, and what it saves is a client's account. */
import test from "ava";
import { importJWK, type JWK } from "jose";
import { CorporationClient } from "../../../control/corporation/client.ts";
import type { SigningKey } from "../../../xenostore/keys/key-ring.ts";
import { poll } from "../../xenod/test-guest.ts";
import { openPage } from "./chromium.ts";
import { withCorporation } from "./running.ts";

interface Saved {
  readonly holder: string;
  readonly credential: string;
  readonly key: JWK;
}

test("who registers in a browser has a key and a credential that a XenoCorp takes", async (t) => {
  await withCorporation(async ({ address, corporation, defects }) => {
    const page = await openPage(t, `${address}/`);
    await poll("the form", () => page.evaluate<boolean>("document.querySelector('form button') !== null"));
    const fields = { name: "Ada <b>Lovelace</b>", contact: "ada@example", payment: "card" };
    await page.evaluate(
      `for (const [name, value] of Object.entries(${JSON.stringify(fields)})) document.querySelector('[name=' + name + ']').value = value;
       document.querySelector('form button').click()`,
    );
    await poll("the file", () => page.evaluate<boolean>("document.querySelector('output a') !== null"));
    const saved = await page.evaluate<Saved>(
      "fetch(document.querySelector('output a').href).then((reply) => reply.json())",
    );
    t.is(await page.evaluate("document.querySelector('output').textContent.split('. ')[0]"), `You are ${saved.holder}`);
    t.is(await page.evaluate("document.querySelector('output a').download"), "xenocorp-account.json");

    const key = {
      publicKey: `ed25519:${saved.key.x}`,
      privateKey: await importJWK(saved.key, "EdDSA"),
    } as SigningKey;
    const client = new CorporationClient(address, key, saved.credential);
    await corporation.payIn(saved.holder, 5, "1");
    t.like(await client.account(), { account: saved.holder, available: 5 });
    t.deepEqual(defects, []);
  });
});
