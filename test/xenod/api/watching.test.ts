import test from "ava";
import { parseEvents } from "../../../xenod/api/event-stream.ts";
import type { ServerEvent } from "../../../xenod/daemon/event-feed.ts";
import { publishFiles } from "../published.ts";
import { run } from "./running-xenod.ts";

test("events tell what there is, then each change of domains and tasks", async (t) => {
  const { client, published } = await run(t);
  const nothingYet = client.events(AbortSignal.timeout(60_000)).next();
  const url = await publishFiles(published, "service", { "etc/motd": "hello\n" });
  const wanted = { overlay: url, kernel: url, memoryMiB: 128, cpus: 1, files: [{ path: "/etc/secret", content: "s" }] };
  const before = await client.deploy({ ...wanted, id: "request-1", name: "before" });
  await client.waitForTask(before.task).catch(() => {});
  t.is((await nothingYet).value?.kind, "task", "who listened before there was anything is told of it too");
  const ending = new AbortController();
  const seen: ServerEvent[] = [];
  let isDeployed = false;
  for await (const event of client.events(ending.signal)) {
    seen.push(event);
    // The first is of what was there.
    if (!isDeployed) await client.deploy({ ...wanted, id: "request-2", name: "after" });
    isDeployed = true;
    if (event.kind === "task" && event.task.domain === "after" && event.task.state !== "running") break;
  }
  ending.abort();
  t.like(seen[0], { kind: "task", task: { id: before.task, state: "failed" } });
  t.true(seen.some((event) => event.kind === "domain" && event.domain.name === "after"));
  t.true(seen.some((event) => event.kind === "domain-removed" && event.name === "after"));
  t.false(JSON.stringify(seen).includes(`"content"`), "what is laid over a root is not told");
});

test("an event's text may come in any pieces", async (t) => {
  const events: ServerEvent[] = [
    { kind: "domain-removed", name: "é" },
    { kind: "domain-removed", name: "b" },
  ];
  const text = Buffer.from(
    `: alive\n\n${events.map((event) => `event: x\ndata: ${JSON.stringify(event)}\n\n`).join("")}`,
  );
  for (let cut = 0; cut <= text.length; cut++) {
    const pieces = (async function* () {
      yield text.subarray(0, cut);
      yield text.subarray(cut);
    })();
    const parsed: ServerEvent[] = [];
    for await (const event of parseEvents(pieces)) parsed.push(event);
    t.deepEqual(parsed, events);
  }
});

test("metrics and OpenAPI are served: every route is described, and what is measured has a value", async (t) => {
  const { client } = await run(t);
  await client.domains();
  const metrics = await client.metrics();
  for (const line of [
    /^xeno_host_memory_bytes [1-9]/m,
    /^xeno_guest_memory_bytes 0$/m,
    /^xeno_file_server_up 1$/m,
    /^xeno_api_request_seconds_count\{method="GET",route="\/v1\/domains",status="200"\} 1$/m,
    /^xenod_process_resident_memory_bytes [1-9]/m,
  ])
    t.regex(metrics, line);
  const { openapi, paths } = (await client.openApi()) as { openapi: string; paths: Record<string, object> };
  t.is(openapi, "3.1.0");
  const described = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { summary }]) => [`${method} ${path}`, summary] as const),
  );
  t.true(described.length >= 13);
  for (const [route, summary] of described) t.truthy(summary, route);
  t.true(JSON.stringify(paths["/v1/deployments"]).includes("kernelCommandLine"));
});

test("a task that is called off ends as it should, and one that has ended stays as it is", async (t) => {
  const { client, published } = await run(t);
  const url = await publishFiles(published, "service", { "etc/motd": "hello\n" });
  const begun = await client.deploy({ id: "request-1", overlay: url, kernel: url, memoryMiB: 128, cpus: 1 });
  await client.cancelTask(begun.task);
  const error = await t.throwsAsync(client.waitForTask(begun.task));
  t.true(["task-cancelled", "kernel-unusable"].includes((error as unknown as { code: string }).code), String(error));
  t.deepEqual(await client.domains(), []);
  t.is((await client.cancelTask(begun.task)).state, "failed");
  await t.throwsAsync(client.cancelTask("00000000-0000-0000-0000-000000000000"), { code: "task-unknown" });
});
