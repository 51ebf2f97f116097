import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { XenoError } from "../../../cowfs/errors.ts";
import { TaskList } from "../../../xenod/daemon/task-list.ts";

async function open(t: ExecutionContext, directory?: string) {
  const made = directory ?? (await mkdtemp(join(tmpdir(), "xd-tasks-")));
  if (directory === undefined) t.teardown(() => rm(made, { recursive: true, force: true }));
  const defects: unknown[] = [];
  const tasks = new TaskList(made, (error) => defects.push(error));
  await tasks.load();
  return { directory: made, tasks, defects };
}

test("a task reports its steps to whoever waits, and its result at the end", async (t) => {
  const { tasks } = await open(t);
  const gate = Promise.withResolvers<void>();
  const { id } = await tasks.start({ kind: "deploy", domain: "web" }, async ({ step }) => {
    step("accepted", 17);
    await gate.promise;
    return { answer: 42 };
  });
  const first = structuredClone(await tasks.wait(id, 0, 1_000));
  t.deepEqual(first.progress, [{ step: "accepted", at: 17 }]);
  const waiting = tasks.wait(id, first.version, 10_000);
  gate.resolve();
  t.like(await waiting, { state: "done", result: { answer: 42 } });
  t.is((await tasks.wait(id, 1_000, 10_000)).state, "done", "nobody waits for a task that has ended");
});

test("waiting ends with its time, the task as it is", async (t) => {
  const { tasks } = await open(t);
  const gate = Promise.withResolvers<void>();
  const { id, version } = await tasks.start({ kind: "stop", domain: "web" }, () => gate.promise);
  t.is((await tasks.wait(id, version, 30)).state, "running");
  gate.resolve();
});

test("a failed task keeps code, message and hint; what is no XenoError is a defect", async (t) => {
  const { tasks, defects } = await open(t);
  const refused = await tasks.start({ kind: "deploy", domain: "web" }, async () => {
    throw new XenoError("memory-short", "too much", { hint: "ask for less" });
  });
  t.deepEqual((await tasks.wait(refused.id, 1, 5_000)).error, {
    code: "memory-short",
    message: "too much",
    hint: "ask for less",
  });
  const broken = await tasks.start({ kind: "deploy", domain: "web" }, async () => {
    throw new TypeError("oops");
  });
  t.is((await tasks.wait(broken.id, 1, 5_000)).error?.code, "defect");
  t.is(defects.length, 1);
});

test("a task that was under way when Xenod died is shown as interrupted, and is found by its request", async (t) => {
  const { directory, tasks } = await open(t);
  const { id } = await tasks.start(
    { kind: "deploy", domain: "web", request: "request-1" },
    () => new Promise(() => {}),
  );
  const { tasks: next } = await open(t, directory);
  t.like(next.get(id), { state: "failed", error: { code: "interrupted" } });
  t.is(next.findByRequest("request-1")?.id, id);
  t.throws(() => next.get("unknown"), { code: "task-unknown" });
});

test("the last 200 are remembered, and those that run", async (t) => {
  const { directory, tasks } = await open(t);
  const running = await tasks.start({ kind: "deploy", domain: "long" }, () => new Promise(() => {}));
  for (let n = 0; n < 210; n++) {
    const { id, version } = await tasks.start({ kind: "stop", domain: "web" }, async () => {});
    await tasks.wait(id, version, 1_000);
  }
  t.is(tasks.get(running.id).state, "running");
  t.true((await readdir(directory)).length <= 201);
});
