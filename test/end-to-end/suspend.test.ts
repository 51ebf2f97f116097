/** A real guest that writes to its root all the time, through suspends and resumes. In order: each test goes on from the last. */
import { randomUUID } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { FileServerClient } from "../../xenod/file-server/client.ts";
import { findQemu } from "../../xenod/hypervisors/qemu/qemu-process.ts";
import { runTeardowns } from "../run-teardowns.ts";
import { poll } from "../xenod/test-guest.ts";
import { publishCountingGuest, readClocks, readCount } from "./counting-guest.ts";
import { type RunningServer, startXenoServer } from "./xeno-server.ts";

let server: RunningServer;
const teardowns: (() => unknown)[] = [];

test.before(async (t) => {
  server = await startXenoServer({ teardown: (act) => void teardowns.push(act), log: t.log });
  const guest = await publishCountingGuest(server.published);
  const deployment = { id: randomUUID(), name: "guest", ...guest };
  const { task } = await server.client.deploy(deployment);
  await server.client.waitForTask(task).catch(async (error) => {
    t.log(await server.readLogs());
    throw error;
  });
});

test.after.always(() => runTeardowns(teardowns));

test.serial("a guest is suspended while it writes, and goes on after its resume without an error", async (t) => {
  await waitForCount(t, 3);
  const suspended = (await finish(server.client.suspend("guest"))) as { memoryBytes: number };
  t.is(await findQemu(directoryOf("guest")), undefined);
  t.like(await server.client.domain("guest"), { state: "suspended", link: false, exported: false });
  const { size } = await stat(join(directoryOf("guest"), "checkpoints/1/memory"));
  t.is(size, suspended.memoryBytes);
  t.true(size < 128 * 1024 * 1024, "pages of zeros take no room");
  const count = await lastCount("guest");
  await resume(t, {});
  await waitForCount(t, count + 3);
});

test.serial("a request that was under way when the guest was suspended is answered after its resume", async (t) => {
  // The worker stands still, so a write of the guest's has been taken and not answered.
  const fileServer = new FileServerClient(server.stateDirectory);
  t.teardown(() => fileServer.close());
  const { worker } = await fileServer.status();
  process.kill(worker, "SIGSTOP");
  try {
    const before = await lastCount("guest");
    await poll("the guest to wait for its file server", async () => {
      const count = await lastCount("guest");
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      return count === (await lastCount("guest")) && count >= before;
    });
  } finally {
    process.kill(worker, "SIGCONT");
  }
  const count = await lastCount("guest");
  t.like(await finish(server.client.suspend("guest", { goesOn: true })), { domain: "guest" });
  await waitForCount(t, count + 3);
});

for (const [step, state] of [
  ["suspend pinned", "running"],
  ["suspend kept", "suspended"],
] as const)
  test.serial(`Xenod is killed after "${step}" of a real guest: it is ${state}, and goes on`, async (t) => {
    await server.dieAt(step);
    await server.client.suspend("guest");
    await server.died();
    await server.launch();
    t.is((await server.client.domain("guest")).state, state);
    const count = await lastCount("guest");
    if (state === "suspended") await resume(t, {});
    await waitForCount(t, count + 3);
  });

test.serial("a start calls a suspend off", async (t) => {
  const { task } = await server.client.suspend("guest");
  const started = await finish(server.client.resume("guest"));
  t.like(started, { domain: "guest" });
  const { state, error } = await server.client.getTask(task, { waitMs: 60_000, seen: 1_000 });
  // It may have been quicker than the start.
  t.true(state === "done" || error?.code === "task-cancelled", error?.code);
  t.is((await server.client.domain("guest")).state, "running");
  await waitForCount(t, (await lastCount("guest")) + 3);
});

test.serial("an older checkpoint runs as a second domain, with memory and files of its moment", async (t) => {
  await finish(server.client.suspend("guest"));
  const resumed = Date.now() / 1000;
  const [{ created }] = await server.client.checkpoints("guest");
  const result = await finish(server.client.resume("guest", { checkpoint: 1, as: "older" }));
  t.like(result, { domain: "older", checkpoint: 1 });
  await poll("the second domain to count on", async () => (await lastCount("older")) > 0);
  t.true((await lastCount("older")) < (await lastCount("guest")));
  // Its own clock goes on where it stopped, half a minute ago and more; its machine's is right.
  const { clock, rtc } = await readClocks(directoryOf("older"));
  t.true(rtc >= resumed - 2 && rtc <= Date.now() / 1000 + 2, `rtc ${rtc}, resumed at ${resumed}`);
  t.true(rtc - clock > (resumed - created / 1000) / 2, `rtc ${rtc}, clock ${clock}, saved at ${created}`);
  await resume(t, {});
  await waitForCount(t, (await lastCount("guest")) + 3);
  await poll("both to run", async () => (await lastCount("older")) > 3);
  for (const name of ["older", "guest"]) await finish(server.client.remove(name));
});

async function resume(t: ExecutionContext, request: { checkpoint?: number }): Promise<void> {
  const log = join(directoryOf("guest"), "console.log");
  const { size } = await stat(log);
  const started = performance.now();
  const begun = await server.client.resume("guest", request);
  await server.client.waitForTask(begun.task);
  const runs = performance.now();
  await poll("the guest's root to answer", async () =>
    (await readFile(log, "latin1")).slice(size).includes("guest: OK"),
  );
  t.log(
    `resume ${Math.round(runs - started)} ms, and ${Math.round(performance.now() - runs)} ms until the root answered`,
  );
  const { progress, created } = await server.client.getTask(begun.task);
  t.log(progress.map(({ step, at }) => `${step} ${at - created}`).join(", "));
}

function directoryOf(name: string): string {
  return join(server.stateDirectory, "domains", name);
}

async function finish(begun: Promise<{ task: string }>): Promise<unknown> {
  return await server.client.waitForTask((await begun).task);
}

function lastCount(name: string): Promise<number> {
  return readCount(directoryOf(name));
}

async function waitForCount(t: ExecutionContext, count: number): Promise<void> {
  await poll(`the guest to count to ${count}`, async () => (await lastCount("guest")) >= count).catch(async (error) => {
    t.log(await server.readLogs());
    throw error;
  });
}
