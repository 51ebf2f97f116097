/** What becomes of a session's domains when its lease changes, and of those that have ended when something is deployed again. */
import test from "ava";
import type { Lease } from "../../../control/sessions/lease.ts";
import type { Session, SessionTask } from "../../../control/sessions/session.ts";
import { requireFits, shareProcessors } from "../../../control/sessions/share-out.ts";
import { publishFiles } from "../../xenod/published.ts";
import { poll } from "../../xenod/test-guest.ts";
import { guestFile, powerOff, shareMachine } from "./machine.ts";
import { type Client, hourMs, requirements, type Selling, withSelling } from "./selling.ts";

const machine = shareMachine(test);

async function modify(ada: Client, session: string, QoS: object) {
  const asked = { requirements: { ...requirements, QoS }, termMs: hourMs, session };
  const offer = await ada.sessions.offer(asked, (await ada.sessions.status()).key);
  return await ada.sessions.amend(session, await ada.sessions.accept(offer));
}

async function untilSettled({ manager }: Selling, ada: Client, session: string) {
  await poll("the session's domains to be as it wants them", async () => {
    await manager.tick();
    return manager.sessions.get(session, ada.key.id).isSettled;
  });
  return await ada.sessions.show(session);
}

async function deploy(ada: Client, session: string, id: string, asked: object = {}) {
  const task = { id, kind: "domain", asked: { overlay: machine().overlay, ...asked } };
  const { domain } = await ada.sessions.deploy(session, task);
  return domain;
}

const isIn = (domain: string, state: string) =>
  poll(`${domain} to be ${state}`, async () => (await machine().state(domain)) === state);

for (const [total, had, has] of [
  [1000, [600], [1000]],
  [500, [600, 200], [375, 125]],
  [900, [0, 0], [450, 450]],
  [0, [600, 200], [0, 0]],
  [3, [900, 1, 1], [2, 1, 1]],
] as const)
  test(`of ${total} ms/s tasks that had ${had.join(" and ")} have ${has.join(" and ")}`, (t) => {
    const tasks = had.map((cpuMsPerSecond) => ({ cpuMsPerSecond, memoryMiB: 64 })) as SessionTask[];
    const lease = { resources: { CPUmsps: total, MemoryMiB: 64 * tasks.length } } as Lease;
    const session = { tasks, lease } as unknown as Session;
    requireFits(session, lease);
    shareProcessors(session);
    t.deepEqual(
      tasks.map((task) => task.cpuMsPerSecond),
      [...has],
    );
  });

test.serial(
  "a modified lease reaches what is deployed: shares at once, memory and disk when it next boots",
  async (t) => {
    await withSelling(machine(), async (selling) => {
      const ada = await selling.addClient();
      const { id } = await ada.begin({ amount: 100_000, requirements: { ...requirements, QoS: { MemoryMiB: 128 } } });
      const domain = await deploy(ada, id, "web");
      await isIn(domain, "running");
      await modify(ada, id, { MemoryMiB: 256, CPUmtps: 100, NetMbps: 8, DiskMiB: 512 });
      const shares = { cpu: { meanMsPerSecond: 100 }, network: { peakKbitPerSecond: 8_000 } };
      const grown = { ...shares, memoryMiB: 256, journalMiB: 512 };
      const [running] = (await untilSettled(selling, ada, id)).tasks;
      t.like(running, { state: "running", size: { memoryMiB: 128, ...shares }, nextSize: grown, error: undefined });

      await t.throwsAsync(modify(ada, id, { MemoryMiB: 64 }), { code: "session-short" });
      // What is left over is the next task's, and no longer what the first one is to get.
      const second = await deploy(ada, id, "db", { memoryMiB: 64, cpus: 2 }).catch((error) => error);
      t.is(second.code, "session-short", "processor time is all the first one's");
      await modify(ada, id, { MemoryMiB: 256 });
      const db = await deploy(ada, id, "db", { memoryMiB: 64 });
      await isIn(db, "running");
      const both = (await untilSettled(selling, ada, id)).tasks;
      t.like(both[0], { size: { memoryMiB: 128 }, nextSize: { memoryMiB: 192 } });
      t.like(both[1], { size: { memoryMiB: 64 }, nextSize: undefined });
      t.false("network" in both[0]!.size!);
      await t.throwsAsync(deploy(ada, id, "third", { memoryMiB: 65 }), { code: "session-short" });

      await modify(ada, id, { MemoryMiB: 192, CPUmtps: 400 });
      const [web, other] = (await untilSettled(selling, ada, id)).tasks;
      t.like(web, { size: { memoryMiB: 128, cpu: { meanMsPerSecond: 200 } }, nextSize: undefined });
      t.like(other, { size: { memoryMiB: 64, cpu: { meanMsPerSecond: 200 } } });
      await ada.sessions.endTask(id, "db");
      t.like((await untilSettled(selling, ada, id)).tasks[0], {
        size: { memoryMiB: 128 },
        nextSize: { memoryMiB: 192 },
      });
      t.deepEqual(selling.defects, []);
    });
  },
);

test.serial(
  "what is deployed again is matched to a domain that has ended, with what it wrote, before one is made",
  async (t) => {
    await withSelling(machine(), async (selling) => {
      const ada = await selling.addClient();
      const { id } = await ada.begin({ amount: 100_000, requirements: { ...requirements, QoS: { MemoryMiB: 256 } } });
      const small = { memoryMiB: 64 };
      const first = await deploy(ada, id, "one", small);
      await isIn(first, "running");
      const second = await deploy(ada, id, "two", small);
      t.not(second, first, "what runs has no room for a second task");
      await isIn(second, "running");
      await guestFile(machine(), first).write();
      powerOff(machine(), first);
      await isIn(first, "stopped");
      t.is(await deploy(ada, id, "one", small), first, "the same task is over");
      t.is(await machine().state(first), "stopped");
      const other = await deploy(ada, id, "other", { ...small, hostname: "other" });
      t.not(other, first, "it is another environment");
      t.is(await deploy(ada, id, "three", small), first);
      t.is(await deploy(ada, id, "three", small), first, "asked again");
      const { tasks } = await untilSettled(selling, ada, id);
      t.deepEqual(
        tasks.map((task) => [task.id, task.domain]),
        [
          ["three", first],
          ["two", second],
          ["other", other],
        ],
      );
      await isIn(first, "running");
      t.true(await guestFile(machine(), first).isThere());

      // Another manager goes on with what this one has kept.
      powerOff(machine(), first);
      await isIn(first, "stopped");
      t.is(await deploy(ada, id, "four", small), first);
      const { manager } = selling;
      const next = await selling.reopen();
      await poll("it to run again", async () => {
        await next.tick();
        return (await machine().state(first)) === "running";
      });
      await next.idle();
      await manager.sessions.load();

      // The same words mean something else now: that is another environment.
      powerOff(machine(), first);
      await isIn(first, "stopped");
      await publishFiles(machine().server.published, "web", { "sbin/init": "newer" }, { version: "newer" });
      const newer = await deploy(ada, id, "five", small);
      t.not(newer, first);
      await isIn(newer, "running");
      t.deepEqual(selling.defects, []);
    });
  },
);
