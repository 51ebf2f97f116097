/**
 * A real guest that writes to its root all the time, moved between two XenoServers while it runs, and back with a Xenod killed in
 * the middle of the hand-over. In order: the second goes on from the first.
 */
import { randomUUID } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { findQemu } from "../../xenod/hypervisors/qemu/qemu-process.ts";
import { runTeardowns } from "../run-teardowns.ts";
import { poll } from "../xenod/test-guest.ts";
import { publishCountingGuest, readCount } from "./counting-guest.ts";
import { type RunningServer, startXenoServers } from "./xeno-server.ts";

let a: RunningServer;
let b: RunningServer;
const teardowns: (() => unknown)[] = [];

/** Of a guest under TCG on a busy host. */
const deadlineMs = 600_000;

test.before(async (t) => {
  t.timeout(deadlineMs);
  const context = { teardown: (act: () => unknown) => void teardowns.push(act), log: t.log };
  [a, b] = (await startXenoServers(context, ["a", "b"], { areFriends: true })) as [RunningServer, RunningServer];
  const deployment = { id: randomUUID(), name: "guest", ...(await publishCountingGuest(a.published)) };
  const { task } = await a.client.deploy(deployment);
  await a.client.waitForTask(task).catch(async (error) => {
    t.log(await a.readLogs());
    throw error;
  });
});

test.after.always(() => runTeardowns(teardowns));

test.serial("a guest moves while it writes, and goes on at the other XenoServer without an error", async (t) => {
  t.timeout(deadlineMs);
  await waitForCount(t, a, 3);
  const { task } = await a.client.migrate("guest", { to: b.peer });
  await a.client.waitForTask(task);
  const { state, progress, created } = await a.client.getTask(task);
  t.is(state, "done");
  t.log(progress.map(({ step, at }) => `${step} ${at - created}`).join(", "));
  await expectOnly(t, b, a);
});

test.serial(
  "its Xenod is killed once it is given away: the guest runs at the other one, and has lost nothing",
  async (t) => {
    t.timeout(deadlineMs);
    await b.dieAt("migrate moved");
    const { task } = await b.client.migrate("guest", { to: a.peer });
    await b.died();
    t.is(await findQemu(directoryOf(a)).then((found) => found === undefined), false, "it waits there, paused");
    await b.launch();
    t.like(await b.client.getTask(task), { state: "failed", error: { code: "interrupted" } });
    await poll("it to run at the other one", async () => (await a.client.domain("guest")).state === "running");
    await expectOnly(t, a, b);
  },
);

/** It runs at one, counts on, and nothing of it is at the other one. */
async function expectOnly(t: ExecutionContext, at: RunningServer, other: RunningServer): Promise<void> {
  await poll(
    "the other one to forget it",
    async () => (await readdir(join(other.stateDirectory, "domains"))).length === 0,
  );
  await poll("it to count here", async () => (await readCount(directoryOf(at))) > 0).catch(async (error) => {
    t.log(await at.readLogs());
    throw error;
  });
  await waitForCount(t, at, (await readCount(directoryOf(at))) + 3);
}

function directoryOf({ stateDirectory }: RunningServer): string {
  return join(stateDirectory, "domains", "guest");
}

async function waitForCount(t: ExecutionContext, server: RunningServer, count: number): Promise<void> {
  await poll(`the guest to count to ${count}`, async () => (await readCount(directoryOf(server))) >= count).catch(
    async (error) => {
      t.log(await server.readLogs());
      throw error;
    },
  );
}
