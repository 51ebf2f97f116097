/** Sessions from offer to end, with everything real but the guests, which the simulator plays. */
import test from "ava";
import { createCorporationApi } from "../../../control/corporation/api.ts";
import { poll } from "../../xenod/test-guest.ts";
import { shareMachine } from "./machine.ts";
import { hourMs, requirements, withSelling } from "./selling.ts";

const machine = shareMachine(test);

test.serial(
  "a session is a lease that both signed: it is charged to the micro-unit, and what is left returns",
  async (t) => {
    await withSelling(machine(), async ({ manager, pass, now, addClient, corporation, defects }) => {
      const ada = await addClient();
      const status = await ada.sessions.status();
      t.like(status, { name: "seller", environments: [{ type: "Linux", kernels: ["6.1"] }], sessions: 0 });
      const begun = now();
      const session = await ada.begin({ amount: 100_000 });
      t.like(session, { state: "active", left: 100_000, paid: 0, lease: { pricePerHour: 3600, number: 1 } });
      t.like(await ada.client.account(), { held: 100_000 });

      const task = { id: "web", kind: "domain", asked: { overlay: machine().overlay } };
      const { domain } = await ada.sessions.deploy(session.id, task);
      t.deepEqual(await ada.sessions.deploy(session.id, task), { id: "web", kind: "domain", domain });
      await poll("the domain to run", async () => (await machine().state(domain)) === "running");
      t.like((await ada.sessions.show(session.id)).tasks[0], { id: "web", domain, state: "running" });

      pass(10_500);
      await manager.tick();
      const charged = await ada.sessions.show(session.id);
      t.true(charged.paid >= 10 && charged.paid <= (now() - begun) / 1000, `${charged.paid}`);
      await ada.sessions.end(session.id);
      await poll("the session's end", async () => {
        await manager.tick();
        return (await ada.sessions.show(session.id)).state === "ended";
      });
      t.is(await machine().state(domain), "gone");
      const { paid, refused, pending } = await ada.sessions.show(session.id);
      t.deepEqual([refused, pending], [0, 0]);
      t.like(await ada.client.account(), { posted: 1_000_000_000 - paid, held: 0 });
      const { transfers } = await ada.client.audit(session.orders[0]!.id);
      t.is(
        transfers.filter(({ kind }) => kind === "post").reduce((sum, { amount }) => sum + amount, 0),
        paid,
      );
      t.like(transfers[1]!.note, { session: session.id, used: { domains: [{ domain, state: "running" }] } });
      t.deepEqual([...defects, ...corporation.defects], []);
    });
  },
);

test.serial(
  "a session that runs dry is suspended with its memory, resumed by a top-up, and ends with its term",
  async (t) => {
    await withSelling(machine(), async ({ manager, pass, addClient }) => {
      const ada = await addClient();
      const { id } = await ada.begin({ amount: 300, termMs: 1_000_000 });
      const { domain } = await ada.sessions.deploy(id, {
        id: "web",
        kind: "domain",
        asked: { overlay: machine().overlay },
      });
      await poll("the domain to run", async () => (await machine().state(domain)) === "running");
      pass(301_000);
      const until = async (state: string) =>
        await poll(`the domain to be ${state}`, async () => {
          await manager.tick();
          return (await machine().state(domain)) === state;
        });
      await until("suspended");
      t.like(await ada.sessions.show(id), { state: "suspended", reason: "dry", paid: 300, left: 0 });
      await t.throwsAsync(
        ada.sessions.deploy(id, { id: "two", kind: "domain", asked: { overlay: machine().overlay } }),
        { code: "session-suspended" },
      );
      pass(20_000);
      await manager.tick();
      t.is((await ada.sessions.show(id)).paid, 300, "what is suspended costs nothing");

      const more = await ada.order({ amount: 5_000 });
      t.like(await ada.sessions.topUp(id, more), { state: "active", left: 5_000 });
      t.like(await ada.sessions.topUp(id, more), { state: "active" });
      await until("running");

      pass(1_000_000);
      await until("suspended");
      const over = await ada.sessions.show(id);
      t.like(over, { state: "suspended", reason: "term" });
      t.true(over.paid > 300 && over.paid <= 300 + 700, `${over.paid}`);

      const renewal = await ada.sessions.offer(
        { requirements, termMs: hourMs, session: id },
        (await ada.sessions.status()).key,
      );
      t.like(await ada.sessions.amend(id, await ada.sessions.accept(renewal)), {
        state: "active",
        lease: { number: 2 },
      });
      await until("running");

      pass(2 * hourMs);
      await until("suspended");
      pass(100_001);
      await until("gone");
      await poll("the session's end", async () => {
        await manager.tick();
        return (await ada.sessions.show(id)).state === "ended";
      });
      const ended = await ada.sessions.show(id);
      t.is(ended.reason, "grace");
      t.true(ended.paid > over.paid && ended.paid <= over.paid + 3_600, `${ended.paid}`);
      t.like(await ada.client.account(), { held: 0, posted: 1_000_000_000 - ended.paid });
    });
  },
);

test.serial(
  "a XenoCorp that is away stops nothing that is paid for: it gets one charge for all of the time",
  async (t) => {
    await withSelling(machine(), async ({ manager, pass, now, addClient, corporation }) => {
      const ada = await addClient();
      const begun = now();
      const { id } = await ada.begin({ amount: 100_000 });
      const session = () => manager.sessions.get(id, ada.key.id);
      await corporation.api.close();
      for (const _ of [1, 2, 3]) {
        pass(20_000);
        await manager.tick();
        t.like(session(), { state: "active", paid: 0 });
        t.is(session().pending.length, 1, "no second charge is made while the first waits");
      }
      await t.throwsAsync(ada.begin({ order: session().orders[0]!.texts }), { code: "order-used" });

      const again = createCorporationApi(corporation.corporation, (error) => t.fail(String(error)));
      await again.listen({ host: "127.0.0.1", port: Number(new URL(corporation.address).port) });
      try {
        await manager.tick();
        const { paid } = session();
        t.true(paid >= 60 && paid <= (now() - begun) / 1000, `${paid}`);
        t.is(session().charges, 2);
        const { transfers } = await ada.client.audit(session().orders[0]!.id);
        t.is(transfers.length, 3, "the hold and both charges");
      } finally {
        await again.close();
      }
    });
  },
);

test.serial("a deployment that fails after it was begun is told, and takes nothing more of the session", async (t) => {
  await withSelling(machine(), async ({ manager, addClient }) => {
    const ada = await addClient();
    const { id } = await ada.begin();
    // What is laid over the root does not fit there.
    const files = [{ path: "/sbin/init/below-a-file", content: "x" }];
    const asked = { overlay: machine().overlay, files };
    const { domain } = await ada.sessions.deploy(id, { id: "web", kind: "domain", asked });
    await poll("the failure", async () => {
      await manager.tick();
      return (await ada.sessions.show(id)).tasks[0]?.state === "failed";
    });
    const [task] = (await ada.sessions.show(id)).tasks;
    t.like(task, { domain, error: { code: "file-not-laid" } });
    await ada.sessions.endTask(id, "web");
    await manager.tick();
    t.deepEqual((await ada.sessions.show(id)).tasks, []);
    const again = await ada.sessions.deploy(id, { id: "web", kind: "domain", asked: { overlay: machine().overlay } });
    await poll("the domain to run", async () => (await machine().state(again.domain)) === "running");
  });
});
