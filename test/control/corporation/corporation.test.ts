import test from "ava";
import type { AskedOrder } from "../../../control/corporation/corporation.ts";
import { spendOrder } from "../../../control/orders/order.ts";
import type { Restrictions } from "../../../control/orders/restrictions.ts";
import { type Holder, type Running, registerHolder, withCorporation } from "./running.ts";

const hour = 3_600_000;
const asked: AskedOrder = { id: "o1", amount: 100, validMs: hour };

async function spend(client: Holder, server: Holder, order: AskedOrder = asked, restrictions: Restrictions = {}) {
  const texts = await client.client.createOrder(order);
  return await spendOrder(texts, { ...restrictions, server: server.holder }, client.key);
}

async function meet(running: Running): Promise<{ client: Holder; server: Holder; other: Holder }> {
  const [client, server, other] = await Promise.all([
    registerHolder(running, "client", "Ada"),
    registerHolder(running, "server", "Babbage"),
    registerHolder(running, "server", "Lovelace"),
  ]);
  await running.corporation.payIn(client.holder, 1000, "1");
  return { client, server, other };
}

test("an order pays a session charge by charge, says what for, and what is left returns", async (t) => {
  await withCorporation(async (running) => {
    const { client, server } = await meet(running);
    const presented = await spend(client, server);
    t.like(await client.client.account(), { posted: 1000, held: 100, available: 900 });
    const { order, allowed } = await server.client.validate(presented, "session 1");
    t.is(allowed, 100);
    t.deepEqual(await server.client.charge({ id: "1", order, amount: 30, used: { cpuMs: 500 } }), {
      amount: 30,
      left: 70,
    });
    t.deepEqual(await server.client.charge({ id: "2", order, amount: 25, used: { cpuMs: 400 } }), {
      amount: 25,
      left: 45,
    });
    await server.client.close(order);
    t.like(await client.client.account(), { posted: 945, held: 0 });
    t.like(await server.client.account(), { posted: 55 });
    const { transfers } = await client.client.audit(order);
    t.deepEqual(
      transfers.map(({ kind, amount, note }) => [kind, amount, (note as { used?: unknown }).used]),
      [
        ["hold", 100, undefined],
        ["post", 30, { cpuMs: 500 }],
        ["post", 25, { cpuMs: 400 }],
        ["release", 45, undefined],
      ],
    );
    t.deepEqual(running.defects, []);
  });
});

test("whatever is sent twice is done once (X1)", async (t) => {
  await withCorporation(async (running) => {
    const { client, server } = await meet(running);
    const twice = async <Answer>(ask: () => Promise<Answer>) => {
      const first = await ask();
      t.deepEqual(await ask(), first);
      return first;
    };
    await twice(() => running.corporation.payIn(client.holder, 5, "2"));
    const texts = await twice(() => client.client.createOrder(asked));
    const presented = await spendOrder(texts, { server: server.holder }, client.key);
    const { order } = await twice(() => server.client.validate(presented, "s"));
    await twice(() => server.client.charge({ id: "1", order, amount: 30, used: {} }));
    await twice(() => server.client.close(order));
    t.like(await client.client.account(), { posted: 975, held: 0 });
    await t.throwsAsync(client.client.createOrder({ ...asked, amount: 99 }), { code: "order-conflict" });
    await t.throwsAsync(server.client.charge({ id: "1", order, amount: 31, used: {} }), { code: "transfer-conflict" });
  });
});

test("a holder that registers again with its key is the same holder, and in one role only", async (t) => {
  await withCorporation(async (running) => {
    const { client } = await meet(running);
    t.is((await client.client.register("client", "Ada")).holder, client.holder);
    await t.throwsAsync(client.client.register("server", "Ada"), { code: "role-conflict" });
  });
});

test("charges that come at once never spend more than the order, nor than its holder allowed (X1, X2)", async (t) => {
  await withCorporation(async (running) => {
    const { client, server } = await meet(running);
    const presented = await spend(client, server, asked, { maxAmount: 50 });
    const { order } = await server.client.validate(presented, "s");
    const charges = Array.from({ length: 20 }, (_, id) =>
      server.client.charge({ id: `${id}`, order, amount: 7, used: {} }).then(
        () => "paid",
        (error) => error.code,
      ),
    );
    const outcomes = await Promise.all(charges);
    t.is(outcomes.filter((outcome) => outcome === "paid").length, 7);
    t.is(outcomes.filter((outcome) => outcome === "order-short").length, 13);
    t.like(await server.client.account(), { posted: 49 });
  });
});

test("an exclusive order is the first XenoServer's that validates it, however many are shown it (X3)", async (t) => {
  await withCorporation(async (running) => {
    const { client, server, other } = await meet(running);
    const texts = await client.client.createOrder(asked);
    const forOne = await spendOrder(texts, { server: server.holder }, client.key);
    const forOther = await spendOrder(texts, { server: other.holder }, client.key);
    await t.throwsAsync(other.client.validate(forOne, "s"), { code: "order-foreign" });
    const outcomes = await Promise.allSettled([
      server.client.validate(forOne, "s"),
      other.client.validate(forOther, "s"),
    ]);
    t.deepEqual(outcomes.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
    const loser = outcomes.find((outcome) => outcome.status === "rejected")!;
    t.is(loser.reason.code, "order-spent");
  });
});

test("a prepaid order pays at its validation, and its charges only say what for", async (t) => {
  await withCorporation(async (running) => {
    const { client, server } = await meet(running);
    const presented = await spend(client, server, { ...asked, policy: "prepaid" });
    const { order } = await server.client.validate(presented, "s");
    t.like(await server.client.account(), { posted: 100 });
    await server.client.charge({ id: "1", order, amount: 60, used: { cpuMs: 1 } });
    await t.throwsAsync(server.client.charge({ id: "2", order, amount: 41, used: {} }), { code: "order-short" });
    t.like(await server.client.account(), { posted: 100 });
    const { transfers } = await client.client.audit(order);
    t.deepEqual(
      transfers.map(({ amount }) => amount),
      [100, 100, 0],
    );
    t.like(transfers[2]!.note, { charged: 60, used: { cpuMs: 1 } });
  });
});

test("an order that is paid afterwards sets nothing aside, and is paid while the client can", async (t) => {
  await withCorporation(async (running) => {
    const { client, server } = await meet(running);
    const presented = await spend(client, server, { ...asked, amount: 2000, policy: "afterwards" });
    const { order } = await server.client.validate(presented, "s");
    t.like(await client.client.account(), { held: 0 });
    await server.client.charge({ id: "1", order, amount: 900, used: {} });
    await t.throwsAsync(server.client.charge({ id: "2", order, amount: 200, used: {} }), { code: "funds-short" });
    await running.corporation.payIn(client.holder, 500, "top up");
    t.deepEqual(await server.client.charge({ id: "2", order, amount: 200, used: {} }), { amount: 200, left: 900 });
    t.deepEqual(
      (await client.client.audit(order)).transfers.map(({ amount }) => amount),
      [900, 200],
    );
  });
});

test("an offline order is settled by whoever has it, first come first paid, and never beyond its amount", async (t) => {
  await withCorporation(async (running) => {
    const { client, server, other } = await meet(running);
    const texts = await client.client.createOrder({ ...asked, policy: "offline" });
    const settle = async ({ client: asking, holder }: Holder, amount: number) => {
      const presented = await spendOrder(texts, { server: holder }, client.key);
      const order = (await client.client.listOrders())[0]!.id;
      return await asking.charge({ id: "1", order, amount, used: {}, presented, session: "s" });
    };
    t.deepEqual(await settle(server, 80), { amount: 80, left: 20 });
    await t.throwsAsync(settle(other, 80), { code: "hold-short" });
    t.deepEqual(await settle(other, 20), { amount: 20, left: 80 });
    t.like(await client.client.account(), { posted: 900, held: 0 });
  });
});

test("what is left of an order that expired returns once XenoServers had their time to settle (X5)", async (t) => {
  let now = Date.now();
  const clock = () => now;
  await withCorporation(
    async (running) => {
      const { client, server } = await meet(running);
      const presented = await spend(client, server, { ...asked, validMs: 500 });
      const { order } = await server.client.validate(presented, "s");
      now += 600;
      await t.throwsAsync(server.client.validate(presented, "s"), { code: "order-expired" });
      t.is(await running.corporation.releaseExpired(), 0);
      await server.client.charge({ id: "1", order, amount: 40, used: {} });
      now += 1000;
      t.is(await running.corporation.releaseExpired(), 1);
      t.is(await running.corporation.releaseExpired(), 0);
      t.like(await client.client.account(), { posted: 960, held: 0 });
      await t.throwsAsync(server.client.charge({ id: "2", order, amount: 1, used: {} }), { code: "hold-closed" });
    },
    { now: clock },
  );
});

const hostile: Record<
  string,
  { code: string; ask: (all: { client: Holder; server: Holder; other: Holder; stranger: Holder }) => Promise<unknown> }
> = {
  "a client that charges": {
    code: "role-wrong",
    ask: ({ client }) => client.client.charge({ id: "1", order: "x", amount: 1, used: {} }),
  },
  "a XenoServer that orders": { code: "role-wrong", ask: ({ server }) => server.client.createOrder(asked) },
  "an order beyond what the client has": {
    code: "funds-short",
    ask: ({ client }) => client.client.createOrder({ ...asked, amount: 1001 }),
  },
  "an order of nothing": {
    code: "amount-invalid",
    ask: ({ client }) => client.client.createOrder({ ...asked, amount: 0 }),
  },
  "an order of less than nothing": {
    code: "request-invalid",
    ask: ({ client }) => client.client.createOrder({ ...asked, amount: -5 }),
  },
  "an order whose id is SQL": {
    code: "request-invalid",
    ask: ({ client }) => client.client.createOrder({ ...asked, id: "x'; DROP TABLE orders; --" }),
  },
  "a policy that there is not": {
    code: "request-invalid",
    ask: ({ client }) => client.client.createOrder({ ...asked, policy: "gift" as "prepaid" }),
  },
  "a charge without validation": {
    code: "order-unvalidated",
    ask: async ({ client, server }) => {
      await spend(client, server);
      const order = (await client.client.listOrders())[0]!.id;
      return await server.client.charge({ id: "1", order, amount: 1, used: {} });
    },
  },
  "a charge by another XenoServer": {
    code: "order-unvalidated",
    ask: async ({ client, server, other }) => {
      const { order } = await server.client.validate(await spend(client, server), "s");
      return await other.client.charge({ id: "1", order, amount: 1, used: {} });
    },
  },
  "the audit of another client's order": {
    code: "order-unknown",
    ask: async ({ client, server, stranger }) => {
      const { order } = await server.client.validate(await spend(client, server), "s");
      return await stranger.client.audit(order);
    },
  },
};
for (const [title, { code, ask }] of Object.entries(hostile))
  test(`${title} is refused, and nothing is paid`, async (t) => {
    await withCorporation(async (running) => {
      const all = { ...(await meet(running)), stranger: await registerHolder(running, "client", "Eve") };
      await t.throwsAsync(async () => await ask(all), { code });
      t.like(await all.client.client.account(), { posted: 1000 });
      for (const { client } of [all.server, all.other]) t.like(await client.account(), { posted: 0 });
      t.deepEqual(running.defects, []);
    });
  });
