/** What strangers, other clients and clients who want more than they pay for would try. Nothing of it begins, costs or shows anything. */
import test, { type ExecutionContext } from "ava";
import { describePublicKey } from "../../../control/credentials/public-key.ts";
import { spendOrder } from "../../../control/orders/order.ts";
import { SessionsClient } from "../../../control/sessions/client.ts";
import type { EnvironmentManager } from "../../../control/sessions/environment-manager.ts";
import { acceptOffer, offerLease, readOffer } from "../../../control/sessions/lease.ts";
import { registerHolder, withCorporation } from "../corporation/running.ts";
import { makeKey } from "../credentials/make-key.ts";
import { shareMachine } from "./machine.ts";
import { type Client, hourMs, requirements, type Selling, withSelling } from "./selling.ts";

const machine = shareMachine(test);

/** Each is refused with its code. */
async function expectRefusals(t: ExecutionContext, cases: Readonly<Record<string, readonly [string, () => unknown]>>) {
  for (const [title, [code, ask]] of Object.entries(cases)) {
    const error = await t.throwsAsync(async () => await ask(), undefined, title);
    t.is((error as { code?: string }).code, code, `${title}: ${error.message}`);
  }
}

function callerOf({ key }: Client) {
  return { keyId: key.id, publicKey: describePublicKey(key.publicKey) };
}

async function expectNothing(t: ExecutionContext, { manager, defects, corporation }: Selling) {
  t.deepEqual(manager.sessions.list(), []);
  t.deepEqual(await machine().client.domains(), []);
  t.deepEqual([...defects, ...corporation.defects], []);
}

test.serial("who is not a client of an accepted XenoCorp, or does not prove it, is refused", async (t) => {
  await withSelling(machine(), async (selling) => {
    const { address } = selling.manager.options.configuration;
    const ada = await selling.addClient();
    const server = await registerHolder(selling.corporation, "server");
    const ask = (client: { key: Client["key"]; credential: string }) =>
      new SessionsClient({ address, ...client }).status();
    const [header, payload, signature] = ada.credential.split(".");
    const none = Buffer.from(JSON.stringify({ alg: "none", typ: "xeno-credential+jwt" })).toString("base64url");
    await withCorporation(async (other) => {
      const foreign = await registerHolder(other, "client");
      const thief = await makeKey();
      await expectRefusals(t, {
        "a XenoServer's credential": ["role-wrong", () => ask(server)],
        "another XenoCorp's client": ["corporation-unaccepted", () => ask(foreign)],
        "a stolen credential": ["proof-foreign", () => ask({ key: thief, credential: ada.credential })],
        "no algorithm": ["signature-invalid", () => ask({ ...ada, credential: `${none}.${payload}.` })],
        "another's claims": [
          "signature-invalid",
          () => ask({ ...ada, credential: `${header}.${payload}x.${signature}` }),
        ],
        "no text at all": ["signature-invalid", () => ask({ ...ada, credential: "a.b.c" })],
        "a text of 20 KB": ["signature-invalid", () => ask({ ...ada, credential: "a".repeat(15_000) })],
      });
    });
    const raw = await fetch(`${address}/v1/xenoserver`);
    t.is(((await raw.json()) as { code: string }).code, "credential-missing");
    await expectNothing(t, selling);
  });
});

test.serial("an offer is its client's, as it was made, for two minutes and once", async (t) => {
  await withSelling(machine(), async (selling) => {
    const { manager, pass } = selling;
    const { key } = manager.options;
    const [ada, eve] = [await selling.addClient("Ada"), await selling.addClient("Eve")];
    const offer = async (client: Client) => await manager.offer(callerOf(client), { requirements, termMs: hourMs });
    const create = async (client: Client, text: string, signer = client.key) =>
      await manager.create(callerOf(client), await acceptOffer(text, signer), await client.order());
    const forged = async (client: Client, change: object) =>
      await create(
        client,
        await offerLease({ ...(await readOffer(await offer(client), key.verifyKey)), ...change }, eve.key),
      );
    const old = await offer(ada);
    const swapped = await acceptOffer(await offer(ada), ada.key);
    await expectRefusals(t, {
      "a cheaper offer, signed by the client": ["signature-invalid", () => forged(eve, { pricePerHour: 0 })],
      "another's offer": ["offer-foreign", async () => create(eve, await offer(ada))],
      "an acceptance by another key": ["signature-invalid", async () => create(ada, await offer(ada), eve.key)],
      "the acceptance of another offer": [
        "offer-foreign",
        async () => manager.create(callerOf(ada), { ...swapped, offer: await offer(ada) }, await ada.order()),
      ],
      "an offer of three minutes ago": [
        "offer-expired",
        async () => {
          pass(180_000);
          await create(ada, old);
        },
      ],
    });
    await expectNothing(t, selling);

    const session = await create(ada, await offer(ada));
    const caller = callerOf(ada);
    const next = await acceptOffer(
      await manager.offer(caller, { requirements, termMs: hourMs, session: session.id }),
      ada.key,
    );
    const rival = await acceptOffer(
      await manager.offer(caller, { requirements, termMs: 1000, session: session.id }),
      ada.key,
    );
    await manager.amend(caller, next);
    await expectRefusals(t, {
      "a lease that was overtaken": ["offer-overtaken", () => manager.amend(caller, rival)],
      "a further lease as a new session": [
        "offer-overtaken",
        async () => manager.create(caller, rival, await ada.order()),
      ],
    });
    t.is((await manager.amend(caller, next)).lease.number, 2, "the same again is the same");
  });
});

test.serial("an order pays its client's session here, within what it allows, and one session only", async (t) => {
  await withSelling(machine(), async (selling) => {
    const { manager, corporation } = selling;
    const [ada, eve] = [await selling.addClient("Ada"), await selling.addClient("Eve")];
    const other = await registerHolder(corporation, "server");
    const spentElsewhere = await spendOrder(
      await ada.client.createOrder({ id: "elsewhere", amount: 10, validMs: hourMs }),
      { server: other.holder },
      ada.key,
    );
    const stranger = await makeKey();
    const said = await manager.corporations.find(corporation.address);
    const forged = await spendOrder(
      (await ada.client.createOrder({ id: "forged", amount: 10, validMs: hourMs })).map((text) => `${text}x`),
      { server: said.holder },
      ada.key,
    );
    await expectRefusals(t, {
      "spent with another XenoServer": ["order-foreign", () => ada.begin({ order: spentElsewhere })],
      "another client's": ["order-foreign", async () => eve.begin({ order: await ada.order() })],
      forged: ["signature-invalid", () => ada.begin({ order: forged })],
      "signed by nobody": [
        "signature-invalid",
        async () => ada.begin({ order: [...(await ada.order()).slice(0, 1), ...(await eve.order()).slice(1)] }),
      ],
      "spent by a key that does not hold it": [
        "signature-invalid",
        async () =>
          ada.begin({ order: await spendOrder((await ada.order()).slice(0, 1), { server: said.holder }, stranger) }),
      ],
      "for another kind of session": [
        "order-restricted",
        async () => ada.begin({ order: await ada.order({}, { kind: "Windows" }) }),
      ],
      "for less memory": [
        "order-restricted",
        async () => ada.begin({ order: await ada.order({}, { resources: { MemoryMiB: 32 } }) }),
      ],
      "past its deadline": ["order-expired", async () => ada.begin({ order: await ada.order({}, { deadline: 1 }) })],
    });
    await expectNothing(t, selling);

    const order = await ada.order();
    const { id } = await ada.begin({ order });
    await expectRefusals(t, {
      "a second session": ["order-used", () => ada.begin({ order })],
      "the same money again, as another text": [
        "order-used",
        async () =>
          ada.sessions.topUp(id, await spendOrder(order.slice(0, 1), { server: said.holder, maxAmount: 999 }, ada.key)),
      ],
    });
    t.like(await ada.client.account(), { posted: 1_000_000_000 });
  });
});

test.serial("a session is shown to, and done anything in, by its client's key alone", async (t) => {
  await withSelling(machine(), async (selling) => {
    const [ada, eve] = [await selling.addClient("Ada"), await selling.addClient("Eve")];
    const { id } = await ada.begin();
    await ada.sessions.deploy(id, { id: "web", kind: "domain", asked: { overlay: machine().overlay } });
    const { key } = await eve.sessions.status();
    const none = "00000000-0000-0000-0000-000000000000";
    await expectRefusals(t, {
      show: ["session-unknown", () => eve.sessions.show(id)],
      "as one that there is not": ["session-unknown", () => eve.sessions.show(none)],
      log: ["session-unknown", () => eve.sessions.readLog(id, "web")],
      deploy: [
        "session-unknown",
        () => eve.sessions.deploy(id, { id: "x", kind: "domain", asked: { overlay: "template://x/1" } }),
      ],
      "end a task": ["session-unknown", () => eve.sessions.endTask(id, "web")],
      end: ["session-unknown", () => eve.sessions.end(id)],
      "top up": ["session-unknown", async () => eve.sessions.topUp(id, await eve.order())],
      "a further lease": [
        "session-unknown",
        () => eve.sessions.offer({ requirements, termMs: hourMs, session: id }, key),
      ],
      "SQL as its id": ["request-invalid", () => eve.sessions.show("x'; DROP TABLE orders; --")],
      "a path as its id": ["route-unknown", () => eve.sessions.show("../../etc/passwd")],
    });
    t.deepEqual(await eve.sessions.list(), []);
    t.is((await ada.sessions.show(id)).tasks.length, 1);
    t.deepEqual(selling.defects, []);
  });
});

test.serial("what is asked for is bounded by the schema, by what there is, and by the lease", async (t) => {
  await withSelling(machine(), async (selling) => {
    const ada = await selling.addClient();
    const { key } = await ada.sessions.status();
    const offer = (asked: object) => ada.sessions.offer({ termMs: hourMs, requirements, ...asked }, key);
    const xml = (requirementsXml: string) => offer({ requirements: undefined, requirementsXml });
    const bomb = `<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><EnvironmentalRequirements>&b;</EnvironmentalRequirements>`;
    const external = `<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><EnvironmentalRequirements>&a;</EnvironmentalRequirements>`;
    const Basic = { EnvName: "x", EnvType: "Linux" };
    await expectRefusals(t, {
      "an XML bomb": ["requirements-invalid", () => xml(bomb)],
      "an external entity": ["requirements-invalid", () => xml(external)],
      "an oversized document": ["request-invalid", () => xml("x".repeat(70_000))],
      "a document and an object": ["requirements-invalid", () => offer({ requirementsXml: "<x/>" })],
      "a kernel that is not to be had": [
        "kernel-unknown",
        () => offer({ requirements: { Basic: { ...Basic, EnvKernel: "2.4.18" } } }),
      ],
      "a kernel of Object's": [
        "kernel-unknown",
        () => offer({ requirements: { Basic: { ...Basic, EnvKernel: "toString" } } }),
      ],
      "an environment that there is not": [
        "environment-unknown",
        () => offer({ requirements: { Basic: { ...Basic, EnvType: "Win32" } } }),
      ],
      "a term of a year": ["term-invalid", () => offer({ termMs: 366 * 24 * hourMs })],
      "memory that nobody has": ["room-short", () => offer({ requirements: { Basic, QoS: { MemoryMiB: 1_000_000 } } })],
    });
    const refused = await t.throwsAsync(offer({ requirements: { Basic: { ...Basic, EnvKernel: "2.4.18" } } }));
    t.is((refused as { hint?: string }).hint, "there is 6.1");

    const { id } = await ada.begin();
    const { overlay } = machine();
    const deploy = (asked: object, kind = "domain") => ada.sessions.deploy(id, { id: "t", kind, asked });
    await expectRefusals(t, {
      "more memory than the lease has": ["session-short", () => deploy({ overlay, memoryMiB: 65 })],
      "a kernel of the client's": ["task-invalid", () => deploy({ overlay, kernel: "overlay:/boot" })],
      "ports of the host": ["task-invalid", () => deploy({ overlay, ports: [{ published: 22, guest: 22 }] })],
      "a kind that there is not": ["task-kind-unknown", () => deploy({ overlay }, "__proto__")],
      "an overlay that there is not": ["overlay-unknown", () => deploy({ overlay: "xenostore://demo/none" })],
    });
    t.deepEqual((await ada.sessions.show(id)).tasks, []);
    await deploy({ overlay });
    await expectRefusals(t, {
      "a second task of no memory": [
        "session-short",
        () => ada.sessions.deploy(id, { id: "u", kind: "domain", asked: { overlay } }),
      ],
      "another task of the same id": ["task-conflict", () => deploy({ overlay, hostname: "other" })],
    });
    t.deepEqual(selling.defects, []);
  });
});

test.serial(
  "a client that spends one offline order at two XenoServers costs the second what it gave until it settled",
  async (t) => {
    await withSelling(
      machine(),
      async (selling) => {
        const { corporation, manager, pass } = selling;
        const ada = await selling.addClient();
        const caller = callerOf(ada);
        const key = await makeKey("rival");
        const stateDirectory = `${manager.options.stateDirectory}-rival`;
        const rival = await selling.reopen({ key, stateDirectory });
        const texts = (await ada.order({ amount: 15, policy: "offline" })).slice(0, 1);
        const begin = async (seller: EnvironmentManager) => {
          const { holder } = await seller.corporations.find(corporation.address);
          const offer = await seller.offer(caller, { requirements, termMs: hourMs });
          return await seller.create(
            caller,
            await acceptOffer(offer, ada.key),
            await spendOrder(texts, { server: holder }, ada.key),
          );
        };
        const sessions = [await begin(manager), await begin(rival)];
        for (const { state } of sessions) t.is(state, "active", "nobody was asked");
        pass(10_000);
        for (const seller of [manager, rival]) await seller.tick();
        pass(10_000);
        for (const seller of [manager, rival]) await seller.tick();
        for (const seller of [manager, rival]) await seller.tick();
        const outcomes = sessions.map(({ state, reason, paid, refused }) => ({ state, reason, paid, refused }));
        t.is(outcomes[0]!.paid + outcomes[1]!.paid, 15 - ((await ada.client.account()).held ?? 0));
        t.true(outcomes[1]!.refused > 0 && outcomes[1]!.refused <= 15, JSON.stringify(outcomes));
        t.like(outcomes[1], { state: "suspended", reason: "dry" });
        await rival.idle();
      },
      { validation: "offline" },
    );
  },
);
